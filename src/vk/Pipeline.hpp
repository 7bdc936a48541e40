// Compute pipelines: compiled at first use on worker threads, kept for the device's life, and
// remembered on disk for the same device and driver.
#pragma once

#include "vk/Reflection.hpp"
#include "vk/Vulkan.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace mpsvk::vk {

class Device;

/// What a kernel's time goes to, where the order of commands depends on it.
enum class Work : uint8_t {
    Any,
    Product, ///< arithmetic
    Update   ///< memory: of parameters, which the next step reads
};
Work workOf(std::string_view kernel);
std::span<const std::string_view> productKernels();

class Pipeline {
public:
    Pipeline(Device& device, std::string name, std::span<const uint32_t> code,
             std::vector<Constant> constants);
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;

    const std::string& name() const { return name_; }
    /// Named after a file of glsl/; a user's pipeline may be called the same.
    bool isKernel() const { return isKernel_; }
    Work work() const { return work_; }
    const Reflection& reflection() const { return reflection_; }
    const std::array<uint32_t, 3>& localSize() const { return reflection_.localSize; }
    VkPipelineLayout layout() const { return layout_; }
    VkDescriptorSetLayout setLayout() const { return setLayout_; }
    /// Waits for the compilation, if it still runs; throws DeviceError if it failed.
    VkPipeline handle() const { return compiled_.get(); }
    /// Whether registers went to memory. Waits like handle(); false where the driver does not tell
    /// or nobody asked for statistics when the pipeline was made.
    bool spills() const { return compiled_.get() && spills_; }

private:
    friend class PipelineLibrary;
    void checkLimits() const;
    VkPipeline compile(VkPipelineCache cache, std::span<const uint32_t> code);

    Device& device_;
    std::string name_;
    std::vector<Constant> constants_;
    Reflection reflection_;
    VkDescriptorSetLayout setLayout_ = VK_NULL_HANDLE;
    VkPipelineLayout layout_ = VK_NULL_HANDLE;
    bool hasStatistics_ = false, spills_ = false; ///< before the compilation, and by it
    bool isKernel_ = false;
    Work work_ = Work::Any;
    std::atomic<bool> failed_ = false; ///< to compile
    std::shared_future<VkPipeline> compiled_;
};

class PipelineLibrary {
public:
    explicit PipelineLibrary(Device& device);
    ~PipelineLibrary(); ///< writes the disk cache

    /// A kernel of glsl/, by its file's stem; `textures` picks the form whose image operands may
    /// be textures. Returns at once: the compilation runs in the background; one that failed is
    /// tried again, there may be memory by then. `statistics`: a new
    /// one is to know whether it spills, which may take its compiler longer. The library owns it:
    /// threads that count the owners of what they share wait for each other.
    std::shared_ptr<Pipeline> find(std::string_view shader, bool textures,
                                   std::span<const Constant> constants, bool statistics = false);
    /// A pipeline of the user's own SPIR-V, not shared.
    std::shared_ptr<Pipeline> make(std::string name, std::vector<uint32_t> code,
                                   std::vector<Constant> constants);

private:
    struct Key {
        std::string shader;
        bool textures;
        std::vector<Constant> constants;
    };
    /// What a key is found by: without copying anything to look one up.
    struct KeyView {
        std::string_view shader;
        bool textures;
        std::span<const Constant> constants;
    };
    static KeyView view(const Key& k) { return {k.shader, k.textures, k.constants}; }
    static KeyView view(const KeyView& k) { return k; }
    struct Hash {
        using is_transparent = void;
        size_t operator()(const auto& key) const { return of(view(key)); }
        static size_t of(const KeyView& key);
    };
    struct Equal {
        using is_transparent = void;
        bool operator()(const auto& a, const auto& b) const { return are(view(a), view(b)); }
        static bool are(const KeyView& a, const KeyView& b);
    };
    void work();
    void compileLater(Pipeline& pipeline, std::span<const uint32_t> code);

    Device& device_;
    std::string cachePath_;
    VkPipelineCache cache_ = VK_NULL_HANDLE;
    std::mutex mutex_;
    std::unordered_map<Key, std::unique_ptr<Pipeline>, Hash, Equal> pipelines_;
    std::vector<std::unique_ptr<Pipeline>> failed_; ///< lent all the same
    std::condition_variable wake_;
    std::deque<std::packaged_task<VkPipeline()>> jobs_;
    std::vector<std::thread> workers_;
    size_t compiledSinceSave_ = 0;
    bool stopping_ = false;
};

} // namespace mpsvk::vk

// Compute pipelines: compiled at first use on worker threads, kept for the device's life, and
// remembered on disk for the same device and driver.
#pragma once

#include "vk/Reflection.hpp"
#include "vk/Vulkan.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mpsvk::vk {

class Device;

class Pipeline {
public:
    Pipeline(Device& device, std::string name, std::span<const uint32_t> code,
             std::vector<Constant> constants);
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;

    const std::string& name() const { return name_; }
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
    std::shared_future<VkPipeline> compiled_;
};

class PipelineLibrary {
public:
    explicit PipelineLibrary(Device& device);
    ~PipelineLibrary(); ///< writes the disk cache

    /// A kernel of glsl/, by its file's stem; `textures` picks the form whose image operands may
    /// be textures. Returns at once: the compilation runs in the background. `statistics`: a new
    /// one is to know whether it spills, which may take its compiler longer.
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
    /// What a key is compared by: without copying anything to look one up.
    struct KeyView {
        std::string_view shader;
        bool textures;
        std::span<const Constant> constants;
    };
    struct Less {
        using is_transparent = void;
        static KeyView view(const Key& k) { return {k.shader, k.textures, k.constants}; }
        static KeyView view(const KeyView& k) { return k; }
        bool operator()(const auto& a, const auto& b) const { return isLess(view(a), view(b)); }
        static bool isLess(const KeyView& a, const KeyView& b);
    };
    void work();
    void compileLater(const std::shared_ptr<Pipeline>& pipeline, std::span<const uint32_t> code);

    Device& device_;
    std::string cachePath_;
    VkPipelineCache cache_ = VK_NULL_HANDLE;
    std::mutex mutex_;
    std::map<Key, std::shared_ptr<Pipeline>, Less> pipelines_;
    std::condition_variable wake_;
    std::deque<std::packaged_task<VkPipeline()>> jobs_;
    std::vector<std::thread> workers_;
    size_t compiledSinceSave_ = 0;
    bool stopping_ = false;
};

} // namespace mpsvk::vk

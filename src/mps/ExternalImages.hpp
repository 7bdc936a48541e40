// The images that a graph works on from outside, and where they lie.
#pragma once

#include "mps/Image.hpp"
#include "mps/State.hpp"

#include <optional>
#include <span>

namespace mpsvk::mps {

/// What commands know of an image wherever it lies.
struct ImageShape {
    uint64_t width = 0, height = 0, channels = 0, images = 0;
    uint64_t slices = 0; ///< of the storage, which may have more channels
    MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::None;
    bool isTexture = false;
    bool operator==(const ImageShape&) const = default;
};

struct ImagePlace {
    ImageShape shape;
    uint64_t within = 0;         ///< where it begins in its resource
    const void* space = nullptr; ///< the VkBuffer, or the texture itself
    uint64_t begin = 0;          ///< in the VkBuffer
};

/// For as long as the image lives.
struct FoundImage : ImagePlace {
    explicit FoundImage(const MPS::Image& image);
    const vk::Resource* get() const;
    std::shared_ptr<vk::Resource> shared() const;

private:
    const std::shared_ptr<vk::Buffer>* buffer_ = nullptr; ///< one of the two
    const std::shared_ptr<vk::Texture>* texture_ = nullptr;
};

/// Images from outside that belong together.
struct ExternalBatch {
    enum class Role { Images, Labels, Losses, Weights };
    Role role = Role::Images;
    size_t input = 0; ///< of the graph's input images, or of its input states
    std::vector<const MPS::Image*> images;
    std::vector<FoundImage> places; ///< once they are found

    bool isWritten() const { return role == Role::Losses; }
    std::string name() const;
    /// Whether one dispatch can walk over them, which is bound to so many bytes.
    bool isRun(uint64_t mostBytes) const;
    /// Whether they can be copied to images that lie together: buffers of one shape.
    bool areAlike() const;
};

/// What an encode works on. Made anew for each, in the memory of the one before.
class Externals {
public:
    void clear();
    ExternalBatch& add(ExternalBatch::Role role, size_t input, size_t images);
    /// Adds what source states bring along: of loss labels the labels, the losses and the weights
    /// if any. False for states of another kind, which are not replayed with.
    bool add(const MPS::StateBatch& states, size_t input);
    std::span<const ExternalBatch> batches() const { return {batches_.data(), count_}; }
    /// Looks up the places of all of them, once.
    void find();
    /// Whether what is written lies apart from everything else. To be called when all are found.
    bool writesApart();

private:
    std::vector<ExternalBatch> batches_;
    size_t count_ = 0;
    bool areFound_ = false;
    std::optional<bool> writesApart_;
    std::vector<const vk::Resource*> written_;
};

} // namespace mpsvk::mps

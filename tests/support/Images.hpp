// Between the references' tensors and images on the device.
#pragma once

#include "support/Device.hpp"
#include "support/reference/Tensor.hpp"

#include <mpsvk/MPS/Image.hpp>

#include <string>
#include <vector>

namespace mpsvk::test {

/// How an image is stored: every kernel is tested with all of them.
struct Variant {
    MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::Float32;
    MPS::ImageStorage storage = MPS::ImageStorage::Buffer;

    reference::Storage rounding() const;
    /// Relative error that a kernel with fp32 arithmetic may have when its result is stored so.
    double tolerance() const;
    std::string name() const;
};

/// fp32 and fp16, in buffers and (where the device has them) in textures.
std::vector<Variant> variants();

/// A batch in one allocation with the tensor's values, rounded as the variant stores them.
MPS::ImageBatch upload(const reference::Tensor& tensor, Variant variant = {});
/// The same, each image an allocation of its own (and so more than one dispatch).
MPS::ImageBatch uploadApart(const reference::Tensor& tensor, Variant variant = {});
/// One object with all images of the tensor (numberOfImages).
MPS::Image uploadArray(const reference::Tensor& tensor, Variant variant = {});
reference::Tensor download(const MPS::ImageBatch& images);

/// A destination whose every element, and one whole image before and after it, hold a value that no
/// test computes.
class Guarded {
public:
    static constexpr double poison = 12288; // exact in every format

    Guarded(size_t images, size_t height, size_t width, size_t channels, Variant variant = {});
    const MPS::ImageBatch& images() const { return images_; }
    /// What the images hold now; fails the test when a guard was written.
    reference::Tensor read() const;

private:
    MPS::ImageBatch before_, images_, after_;
};

/// The text of the InvalidArgument that `call` throws; fails the test when it throws none.
std::string refusal(const std::function<void()>& call);

} // namespace mpsvk::test

// MPSKernel: the configuration of some GPU work.
#pragma once

#include <mpsvk/MPS/CoreTypes.hpp>

#include <string>

namespace mpsvk::MPS {

/// A plain object: copy it freely. An encode takes down everything it needs, so that the kernel may
/// be changed or destroyed right after. One thread at a time may change or encode a kernel.
class Kernel {
public:
    virtual ~Kernel() = default;

    MTL::Device device() const { return device_; }
    KernelOptions options() const { return options_; }
    void setOptions(KernelOptions options) { options_ = options; }
    const std::string& label() const { return label_; }
    void setLabel(const std::string& label) { label_ = label; }
    /// The class's name without Apple's prefix: "CNNPoolingMax".
    virtual std::string className() const = 0;

protected:
    /// Throws InvalidArgument for an empty device.
    explicit Kernel(const MTL::Device& device);
    Kernel(const Kernel&) = default;
    Kernel& operator=(const Kernel&) = default;

    /// `[ClassName "label"] `, the beginning of every message about this kernel.
    std::string subject() const;
    void setDevice(const MTL::Device& device);

private:
    MTL::Device device_;
    KernelOptions options_ = KernelOptions::None;
    std::string label_;
};

} // namespace mpsvk::MPS

// MPSKernel: the configuration of some GPU work.
#pragma once

#include <mpsvk/MPS/CoreTypes.hpp>

#include <string>

namespace mpsvk::mps {
class Archive;
}

namespace mpsvk::MPS {

class KeyedArchiver;
class KeyedUnarchiver;

/// A plain object: copy it freely. An encode takes down everything it needs, so that the kernel may
/// be changed or destroyed right after. One thread at a time may change or encode a kernel.
///
/// Every class has `copy(device)`, for another device (an empty one: the same), and a constructor
/// `(KeyedUnarchiver& coder, const MTL::Device& device)` that makes the kernel again from what
/// `encode(coder)` wrote; see KeyedArchiver. MPSKernel.
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
    /// The class, the label and every property with its value, in one line.
    std::string debugDescription() const;
    /// Writes every property. Throws InvalidArgument when the kernel holds an object (a padding
    /// policy, an allocator, a data source) that cannot be archived.
    void encode(KeyedArchiver& coder) const;

protected:
    /// Throws InvalidArgument for an empty device.
    explicit Kernel(const MTL::Device& device);
    Kernel(const Kernel&) = default;
    Kernel& operator=(const Kernel&) = default;

    /// `[ClassName "label"] `, the beginning of every message about this kernel.
    std::string subject() const;
    void setDevice(const MTL::Device& device);
    /// What every class's `copy(device)` gives.
    template <class K> static K copied(K made, const MTL::Device& device) {
        made.setDevice(device);
        return made;
    }

    /// Lists the properties, for writing and for reading alike. A class with properties of its own
    /// overrides it and calls its base's first.
    virtual void archive(mps::Archive& archive);
    /// For the body of the constructors that take a coder: reads what `archive` lists. Throws a
    /// FormatError when the coder holds another class.
    void unarchive(KeyedUnarchiver& coder);
    /// The device if it is not empty, else the coder's.
    static MTL::Device deviceFor(const KeyedUnarchiver& coder, const MTL::Device& device);

private:
    friend class mps::Archive;

    MTL::Device device_;
    KernelOptions options_ = KernelOptions::None;
    std::string label_;
};

} // namespace mpsvk::MPS

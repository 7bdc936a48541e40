#include "mps/Archive.hpp"
#include "mtl/Device.hpp"
#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/Kernel.hpp>

#include <cstdlib>

namespace mpsvk::MPS {

Kernel::Kernel(const MTL::Device& device) {
    if (!device) throw InvalidArgument("[Kernel] The device handle is empty.");
    device_ = device;
    if (std::getenv("MPS_LOG_INFO")) options_ = KernelOptions::Verbose;
}

std::string Kernel::subject() const { return MTL::subject(className(), label_); }

void Kernel::setDevice(const MTL::Device& device) {
    if (device) device_ = device;
}

void Kernel::archive(mps::Archive& archive) {
    archive("label", label_);
    archive("options", options_);
}

// Writing and describing leave the properties as they are.
void Kernel::encode(KeyedArchiver& coder) const {
    mps::Archive archive(coder);
    const_cast<Kernel*>(this)->archive(archive);
}

std::string Kernel::debugDescription() const {
    std::string properties;
    mps::Archive archive(properties);
    const_cast<Kernel*>(this)->archive(archive);
    return className() + ": " + properties;
}

void Kernel::unarchive(KeyedUnarchiver& coder) {
    const std::string stored = coder.impl().className();
    if (stored != className())
        throw FormatError("[KeyedUnarchiver] The archive holds a " + stored + " but a " +
                          className() + " was asked for.");
    mps::Archive archive(coder);
    this->archive(archive);
}

MTL::Device Kernel::deviceFor(const KeyedUnarchiver& coder, const MTL::Device& device) {
    return device ? device : coder.mpsMTLDevice();
}

bool SupportsMTLDevice(const MTL::Device& device) { return bool(device); }

MTL::Device GetPreferredDevice(DeviceOptions options) {
    const auto all = MTL::CopyAllDevices();
    if (uint64_t(options) & uint64_t(DeviceOptions::LowPower))
        for (const MTL::Device& device : all)
            if (device.isLowPower()) return device;
    return all.empty() ? MTL::Device() : MTL::CreateSystemDefaultDevice();
}

} // namespace mpsvk::MPS

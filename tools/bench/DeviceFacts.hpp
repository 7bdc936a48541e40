// What the report says about the device, and which one is meant.
#pragma once

#include <mpsvk/MTL/Device.hpp>

#include <string>

namespace mpsvk::bench {

struct DeviceFacts {
    std::string name, driver;
    bool isCpu = false;
};
DeviceFacts factsOf(const MTL::Device& device);

/// `text` is an index or a part of a name; "" means the default device. Throws InvalidArgument
/// when it is none of the devices, DeviceError when there is none at all.
MTL::Device chooseDevice(const std::string& text);

} // namespace mpsvk::bench

// What sentences call the values of enumerations: "Float16".
#pragma once

#include <mpsvk/MPS/CoreTypes.hpp>

#include <string>

namespace mpsvk::mps {

std::string nameOf(MPS::DataType type);
std::string nameOf(MPS::ImageEdgeMode mode);
std::string nameOf(MPS::ImageFeatureChannelFormat format);

} // namespace mpsvk::mps

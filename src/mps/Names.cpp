#include "mps/Names.hpp"

namespace mpsvk::mps {

std::string nameOf(MPS::DataType type) {
    switch (type) {
    case MPS::DataType::Float32: return "Float32";
    case MPS::DataType::Float16: return "Float16";
    case MPS::DataType::BFloat16: return "BFloat16";
    case MPS::DataType::Int8: return "Int8";
    case MPS::DataType::Int16: return "Int16";
    case MPS::DataType::Int32: return "Int32";
    case MPS::DataType::UInt8: return "UInt8";
    case MPS::DataType::UInt16: return "UInt16";
    case MPS::DataType::UInt32: return "UInt32";
    case MPS::DataType::Unorm8: return "Unorm8";
    default: return std::to_string(uint32_t(type));
    }
}

std::string nameOf(MPS::ImageEdgeMode mode) {
    switch (mode) {
    case MPS::ImageEdgeMode::Zero: return "Zero";
    case MPS::ImageEdgeMode::Clamp: return "Clamp";
    case MPS::ImageEdgeMode::Mirror: return "Mirror";
    case MPS::ImageEdgeMode::MirrorWithEdge: return "MirrorWithEdge";
    case MPS::ImageEdgeMode::Constant: return "Constant";
    }
    return std::to_string(uint64_t(mode));
}

std::string nameOf(MPS::ImageFeatureChannelFormat format) {
    switch (format) {
    case MPS::ImageFeatureChannelFormat::None: return "None";
    case MPS::ImageFeatureChannelFormat::Unorm8: return "Unorm8";
    case MPS::ImageFeatureChannelFormat::Unorm16: return "Unorm16";
    case MPS::ImageFeatureChannelFormat::Float16: return "Float16";
    case MPS::ImageFeatureChannelFormat::Float32: return "Float32";
    }
    return std::to_string(uint64_t(format));
}

} // namespace mpsvk::mps

// What pooling and its gradient have in common.
#pragma once

#include "CNNPooling.h"
#include "mps/Pass.hpp"

namespace mpsvk::mps {

/// What taps outside the source are, as a kernel's properties say.
struct PoolingEdges {
    MPS::ImageEdgeMode mode = MPS::ImageEdgeMode::Zero;
    bool average = false;
    uint64_t padX = 0, padY = 0; ///< of an average with Clamp

    /// The value for the shaders.
    uint32_t shaderValue(const MPS::KernelWindow& window) const;
};

struct PoolingState : MPS::NNGradientState::Impl {
    using MPS::NNGradientState::Impl::Impl;
    std::vector<size_t> perImageBuffers() const override {
        return saved ? std::vector<size_t>{0} : std::vector<size_t>{};
    }

    uint64_t padX = 0, padY = 0;
    uint64_t images = 1; ///< that the state was made for: of an array of images all
    bool saved = false;  ///< buffer 0 has a byte for each result: where the maximum was

    /// What the selections in buffer 0 are of: written by the encode that returned the state, and
    /// by no other. A gradient in the same command buffer may take them for the same image; any
    /// other one searches that which it is given.
    void saveSelectionsOf(const MPS::Image& source, const MTL::CommandBuffer& commandBuffer) {
        source_ = source.shared();
        commandBuffer_ = commandBuffer.impl().serial;
    }
    void forgetSelections() { source_.reset(); }
    bool hasSelectionsOf(const MPS::Image& source, const MTL::CommandBuffer& commandBuffer) const {
        return source_.lock() == source.shared() && commandBuffer_ == commandBuffer.impl().serial;
    }

private:
    std::weak_ptr<detail::ObjectImpl> source_;
    uint64_t commandBuffer_ = 0;
};

} // namespace mpsvk::mps

// The mean over all pixels, channel by channel, and its gradient: the kernels of the node
// NNReductionSpatialMeanNode. Apple has no public class for them.
#pragma once

#include "mps/Pass.hpp"

#include <mpsvk/MPS/NNReduce.hpp>

namespace mpsvk::mps {

struct SpatialMeanState : MPS::NNGradientState::Impl {
    SpatialMeanState(MTL::Device device, ForwardRecord record, const Clip& read)
        : Impl(std::move(device), std::move(record)), read(read) {}
    Clip read; ///< the pixels that the mean is of
};

/// Y[0,0,c] = mean over x and y of X[x,y,c].
class NNReduceSpatialMean : public MPS::NNReduceUnary {
public:
    explicit NNReduceSpatialMean(const MTL::Device& device)
        : NNReduceUnary(device, "NNReduceSpatialMean", Axis::Image, Operation::Mean) {}
    NNReduceSpatialMean(MPS::KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceSpatialMean(deviceFor(coder, device)) {
        unarchive(coder);
    }
    NNReduceSpatialMean copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    MPS::StateBatch makeResultStates(const StateRequest& request) const override;
};

/// dX[x,y,c] = G[c] / n for the n pixels that the mean is of, 0 for others. G is the pixel at
/// primaryOffset of the incoming gradient. Of sourceImage only the size counts.
class NNReduceSpatialMeanGradient : public MPS::CNNGradientKernel {
public:
    explicit NNReduceSpatialMeanGradient(const MTL::Device& device)
        : CNNGradientKernel(device, "NNReduceSpatialMeanGradient") {}
    NNReduceSpatialMeanGradient(MPS::KeyedUnarchiver& coder, const MTL::Device& device)
        : NNReduceSpatialMeanGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }
    std::string className() const override { return "NNReduceSpatialMeanGradient"; }
    NNReduceSpatialMeanGradient copy(const MTL::Device& device) const {
        NNReduceSpatialMeanGradient made(*this);
        made.setDevice(device);
        return made;
    }

private:
    std::string forwardClassName() const override { return "NNReduceSpatialMean"; }
    bool readsSecondary() const override { return false; }
    void takeForwardRecord(const ForwardRecord& record) override;
    void validate(const BinaryPass& pass) const override;
    void dispatch(const BinaryPass& pass) const override;
};

} // namespace mpsvk::mps

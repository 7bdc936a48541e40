// A forward kernel and its gradient, encoded together.
#pragma once

#include "support/GradientCheck.hpp"
#include "support/Images.hpp"

#include <memory>

namespace mpsvk::test {

struct KernelPair {
    std::unique_ptr<MPS::CNNKernel> forward;
    std::unique_ptr<MPS::CNNGradientKernel> gradient;
};

struct PairResult {
    reference::Tensor y, dx;
};

/// With the gradient taking all from the state, or configured as it stands: then it is given a
/// destination of zeros and, `withState`, the state too.
inline PairResult encodePair(const KernelPair& pair, const MPS::ImageBatch& x,
                             const MPS::ImageBatch& g, Variant variant, bool takesAll,
                             bool withState = true) {
    const MPS::Image &source = x[0], &incoming = g[0];
    Guarded y(x.size(), incoming.height(), incoming.width(), incoming.featureChannels(), variant);
    MPS::ImageBatch dx;
    if (takesAll)
        pair.gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    else
        dx = upload(reference::Tensor(x.size(), source.height(), source.width(),
                                      source.featureChannels(), 0.0),
                    variant);
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::StateBatch states = pair.forward->resultStateBatch(x, {}, y.images());
        pair.forward->encodeBatch(commands, x, states, y.images());
        if (takesAll)
            dx = pair.gradient->encodeBatch(commands, g, x, states);
        else if (withState)
            pair.gradient->encodeBatch(commands, g, x, states, dx);
        else
            static_cast<MPS::CNNBinaryKernel&>(*pair.gradient).encodeBatch(commands, g, x, dx);
    });
    return {y.read(), download(dx)};
}

/// The kernel between two neurons: the gradient that comes out at the front against finite
/// differences of dot(y, cotangent).
inline reference::GradientCheckResult
checkBetweenNeurons(const KernelPair& pair, const reference::Tensor& x,
                    const reference::Tensor& cotangent,
                    const reference::GradientCheckOptions& options) {
    const MPS::NNNeuronDescriptor sigmoid(MPS::CNNNeuronType::Sigmoid),
        tanh(MPS::CNNNeuronType::TanH, 1, 1);
    MPS::CNNNeuron first(testDevice(), sigmoid), last(testDevice(), tanh);
    MPS::CNNNeuronGradient firstGradient(testDevice(), sigmoid), lastGradient(testDevice(), tanh);
    for (MPS::CNNKernel* each : {&first, &last})
        each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    for (MPS::CNNGradientKernel* each :
         {static_cast<MPS::CNNGradientKernel*>(&firstGradient),
          static_cast<MPS::CNNGradientKernel*>(&lastGradient), pair.gradient.get()})
        each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto middle =
        upload(reference::Tensor(cotangent.n, cotangent.h, cotangent.w, cotangent.c, 0.0));
    MPS::ImageBatch hidden, y, dx;
    MPS::StateBatch states;
    const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
        hidden = first.encodeBatch(commands, at);
        states = pair.forward->resultStateBatch(hidden, {}, middle);
        pair.forward->encodeBatch(commands, hidden, states, middle);
        y = last.encodeBatch(commands, middle);
    };
    const auto f = [&](const reference::Tensor& at) {
        run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
        return reference::dot(download(y), cotangent);
    };
    const auto source = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        encode(commands, source);
        MPS::ImageBatch g = upload(cotangent);
        g = lastGradient.encodeBatch(commands, g, middle, last.resultStateBatch(middle, {}, y));
        g = pair.gradient->encodeBatch(commands, g, hidden, states);
        dx = firstGradient.encodeBatch(commands, g, source,
                                       first.resultStateBatch(source, {}, hidden));
    });
    return reference::checkGradient(f, x, download(dx), options);
}

} // namespace mpsvk::test

// Every kernel class, so that what all of them promise is tested once (tests/mps/EveryKernel.cpp):
// copies and archives, and sentences for misuse. A family names its classes in its own test:
//
//     const bool named[] = {
//         everyKernel([] { return MPS::CNNPoolingMax(testDevice(), 2, 2, 2, 2); }),
//         everyGradient([] { return MPS::CNNPoolingMaxGradient(testDevice(), 2, 2, 2, 2); },
//                       forwardPass([] { return MPS::CNNPoolingMax(testDevice(), 2, 2, 2, 2); })),
//     };
//
// That is before main: the functions are called later.
#pragma once

#include "support/Images.hpp"

#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace mpsvk::test {

/// A class behind its base, CNNKernel, CNNGradientKernel or another one.
template <class Base> struct KernelClass {
    std::function<std::unique_ptr<Base>()> make;
    std::function<std::unique_ptr<Base>(const Base&)> copy, again; ///< again: through an archive
};

template <class Base, class Make> KernelClass<Base> kernelClass(Make make) {
    using Kernel = decltype(make());
    KernelClass<Base> made;
    made.make = [make] { return std::make_unique<Kernel>(make()); };
    made.copy = [](const Base& kernel) {
        return std::make_unique<Kernel>(static_cast<const Kernel&>(kernel).copy(testDevice()));
    };
    made.again = [](const Base& kernel) {
        return std::make_unique<Kernel>(MPS::KeyedUnarchiver::unarchivedObject<Kernel>(
            MPS::KeyedArchiver::archivedData(static_cast<const Kernel&>(kernel)), testDevice()));
    };
    return made;
}

/// What a gradient kernel is given.
struct GradientInputs {
    MPS::ImageBatch gradient, second;
    MPS::StateBatch states;
};
/// Runs a forward kernel over `x` and makes up a gradient of its result. `x` is a batch; or one
/// array of images, from whose second one on the kernel reads.
using ForwardPass = std::function<GradientInputs(const MPS::ImageBatch& x)>;

struct EveryKernel {
    KernelClass<MPS::CNNKernel> kernel;
    MTL::Size source;      ///< width, height and channels of the images that it is tried with
    bool anyChannelOffset; ///< takes offsets that are no multiple of 4 in its source
};
struct EveryGradient {
    KernelClass<MPS::CNNGradientKernel> kernel;
    ForwardPass forward;
    MTL::Size source;
    bool takesArrays; ///< the forward pass does
};

template <class Each> std::vector<Each>& everyClass() {
    static std::vector<Each> all;
    return all;
}

template <class Make>
bool everyKernel(Make make, MTL::Size source = {6, 5, 8}, bool anyChannelOffset = false) {
    everyClass<EveryKernel>().push_back(
        {kernelClass<MPS::CNNKernel>(make), source, anyChannelOffset});
    return true;
}

template <class Make>
bool everyGradient(Make make, ForwardPass forward, MTL::Size source = {6, 5, 8},
                   bool takesArrays = true) {
    everyClass<EveryGradient>().push_back(
        {kernelClass<MPS::CNNGradientKernel>(make), std::move(forward), source, takesArrays});
    return true;
}

/// A class whose encodes are others than those of CNNKernel and CNNGradientKernel: only its copies
/// and archives are tested.
template <class Make> bool everyOther(Make make) {
    everyClass<KernelClass<MPS::Kernel>>().push_back(kernelClass<MPS::Kernel>(make));
    return true;
}

/// The gradient kernel's second image is the forward source, or the forward result.
template <class Make> ForwardPass forwardPass(Make make, bool readsResult = false) {
    return [=](const MPS::ImageBatch& x) {
        auto kernel = make();
        kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        GradientInputs made;
        if (x[0].numberOfImages() > 1) {
            kernel.setOffset({kernel.offset().x, kernel.offset().y, 1});
            MPS::State state;
            MPS::Image array;
            run([&](const MTL::CommandBuffer& commands) {
                array = kernel.encode(commands, x[0], &state, false);
            });
            made.gradient = {
                uploadArray(reference::randomLike(download(array.batchRepresentation()), 91))};
            made.second = {readsResult ? array : x[0]};
            made.states = {state};
            return made;
        }
        MPS::ImageBatch y;
        run([&](const MTL::CommandBuffer& commands) {
            y = kernel.encodeBatch(commands, x, &made.states, false);
        });
        made.gradient = upload(reference::randomLike(download(y), 91));
        made.second = readsResult ? y : x;
        return made;
    };
}

} // namespace mpsvk::test

// Copies and archives of kernels with parameters: they have those in use.
#include "mps/ConvolutionKernels.hpp"
#include "mps/NormalizationKernels.hpp"
#include "mtl/Device.hpp"
#include "support/Normalizations.hpp"
#include "vk/Instance.hpp"

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

MTL::Buffer bufferOf(const std::vector<float>& values) {
    return testDevice().newBuffer(std::as_bytes(std::span(values)));
}

MTL::Device otherDevice() {
    static const auto other =
        std::make_shared<MTL::Device::Impl>(vk::Device::create(vk::physicalDevices().front()), 97);
    return other->handle();
}

/// A data source whose copies say something else.
template <class Source> struct Copied : Source {
    using Source::Source;
    decltype(std::declval<const Source&>().copy({})) copy(MTL::Device device) const override {
        CHECK(device);
        auto made = std::make_shared<Copied>(*this);
        made->gammas.assign(this->channels, 9);
        return made;
    }
};

GroupNormalization twoGroups() {
    GroupNormalization k;
    k.groups = 2;
    return k;
}

const MPS::CNNNormalizationGammaAndBetaState& gammaAndBeta() {
    static const MPS::CNNNormalizationGammaAndBetaState state(bufferOf({1, 2, 3, 4}),
                                                              bufferOf({5, -6, 7, -8}));
    return state;
}

/// Each has `make`, of a data source, and `reload`, which changes what the kernel computes.
struct Batch {
    using Kernel = MPS::CNNBatchNormalization;
    using Source = FixedNormalization;
    template <class S> static std::shared_ptr<S> source() { return std::make_shared<S>(4); }
    static void reload(Kernel& kernel, const MTL::CommandBuffer& commands) {
        kernel.reloadGammaAndBeta(commands, gammaAndBeta());
        kernel.reloadMeanAndVariance(commands,
                                     {bufferOf({.1f, .2f, .3f, .4f}), bufferOf({2, 3, 4, 5})});
    }
};
template <class K> struct Groupwise {
    using Kernel = typename K::Forward;
    using Source = typename K::Source;
    template <class S> static std::shared_ptr<S> source() {
        return std::make_shared<S>(4, twoGroups());
    }
    static void reload(Kernel& kernel, const MTL::CommandBuffer& commands) {
        kernel.reloadGammaAndBeta(commands, gammaAndBeta());
    }
};
struct Convolution {
    using Kernel = MPS::CNNConvolution;
    using Source = FixedWeights;
    template <class S> static std::shared_ptr<S> source() {
        return std::make_shared<S>(MPS::CNNConvolutionDescriptor(1, 1, 4, 4),
                                   std::vector<double>(16, 1), std::vector<double>(4, 0));
    }
    static void reload(Kernel& kernel, const MTL::CommandBuffer& commands) {
        kernel.reloadWeightsAndBiases(
            commands, MPS::CNNConvolutionWeightsAndBiasesState(
                          bufferOf(std::vector<float>(16, .5f)), bufferOf({1, 2, 3, 4})));
    }
};

template <class Kind, class Source = typename Kind::Source> typename Kind::Kernel kernelOf() {
    return {testDevice(), Kind::template source<Source>()};
}

/// Of a kernel of any device.
template <class Kernel> std::vector<float> result(Kernel& kernel) {
    const MTL::Device device = kernel.device();
    const MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 4);
    const MPS::Image x(device, d), y(device, d);
    std::vector<float> values = reference::random(1, 2, 3, 4, 8).floats();
    x.write(values, MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
    const auto commands = device.newCommandQueue().commandBuffer();
    kernel.encode(commands, x, y);
    commands.commit();
    commands.waitUntilCompleted();
    y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
    return values;
}

template <class Kernel> Kernel again(const Kernel& kernel) {
    return MPS::KeyedUnarchiver::unarchivedObject<Kernel>(MPS::KeyedArchiver::archivedData(kernel),
                                                          testDevice());
}

/// A command buffer that loads parameters and is committed, but takes a while to be submitted.
template <class Kind> void checkBehindCommit() {
    using Kernel = typename Kind::Kernel;
    const std::function<Kernel(const Kernel&)> ways[] = {
        [](const Kernel& kernel) { return kernel; },
        [](const Kernel& kernel) { return kernel.copy(testDevice()); },
        [](const Kernel& kernel) { return kernel.copy(otherDevice()); },
        [](const Kernel& kernel) { return again(kernel); },
    };
    const MTL::Buffer from = bufferOf({1}), to = bufferOf({1});
    for (const auto& way : ways) {
        auto kernel = kernelOf<Kind>();
        INFO(kernel.className() << ", way " << &way - ways);
        const auto before = result(kernel);
        const MTL::SharedEvent event = testDevice().newSharedEvent();
        const auto commands = testQueue().commandBuffer();
        commands.encodeWait(event, 1);
        const auto blit = commands.blitCommandEncoder();
        for (int i = 0; i < 5000; ++i) blit.copyFromBuffer(from, 0, to, 0, 4);
        blit.endEncoding();
        Kind::reload(kernel, commands);
        commands.commit();
        event.setSignaledValue(1);
        auto made = way(kernel);
        commands.waitUntilCompleted();
        const auto after = result(kernel);
        CHECK(after != before);
        CHECK(result(made) == after);
    }
}

template <class Kind> void checkCopies() {
    const auto check = [](auto source, bool isCopied) {
        typename Kind::Kernel kernel(testDevice(), source);
        INFO(kernel.className() << (isCopied ? ", its source, too" : ""));
        run([&](const MTL::CommandBuffer& commands) { Kind::reload(kernel, commands); });
        kernel.setEpsilon(.25f);
        const auto expected = result(kernel);
        for (const MTL::Device& device : {MTL::Device(), testDevice(), otherDevice()}) {
            const int loads = source->loads;
            auto copy = kernel.copy(device);
            CHECK(copy.device() == (device ? device : testDevice()));
            CHECK((copy.dataSource() == source) == !isCopied);
            CHECK(source->loads == loads);
            CHECK(copy.epsilon() == .25f);
            CHECK(result(copy) == expected);
            copy.reloadGammaAndBetaFromDataSource();
            CHECK(result(copy) != expected);
            CHECK(result(kernel) == expected);
        }
    };
    check(Kind::template source<typename Kind::Source>(), false);
    check(Kind::template source<Copied<typename Kind::Source>>(), true);
}

} // namespace

TEST_CASE("copies and archives come after what was committed") {
    checkBehindCommit<Convolution>();
    checkBehindCommit<Batch>();
    checkBehindCommit<Groupwise<InstanceKind>>();
    checkBehindCommit<Groupwise<GroupKind>>();
}

TEST_CASE("a copied normalization has the parameters in use, on any device") {
    checkCopies<Batch>();
    checkCopies<Groupwise<InstanceKind>>();
    checkCopies<Groupwise<GroupKind>>();
}

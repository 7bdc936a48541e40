// What every kernel class promises: see support/EveryKernel.hpp.
#include "support/EveryKernel.hpp"

#include "mtl/Device.hpp"
#include "support/Conformance.hpp"
#include "vk/Instance.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using reference::Tensor;

namespace {

/// Another logical device over the same physical one: what belongs to it does not fit.
MTL::Device foreignDevice() {
    static const auto impl =
        std::make_shared<MTL::Device::Impl>(vk::Device::create(vk::physicalDevices().front()), 99);
    return impl->handle();
}

const MPS::ImageBatch& sourceOf(const MTL::Size& size) {
    static std::vector<std::pair<MTL::Size, MPS::ImageBatch>> all;
    for (const auto& [known, images] : all)
        if (known == size) return images;
    const auto x = reference::distinct(2, size.height, size.width, size.depth, 90, -2, 2);
    return all.emplace_back(size, upload(x)).second;
}

MPS::ImageDescriptor descriptorLike(const MPS::Image& image) {
    return {image.featureChannelFormat(), image.width(), image.height(), image.featureChannels()};
}

/// Calls that must be refused by an object of class `name`.
class Refusals {
public:
    Refusals(std::string name, std::string label)
        : name_(std::move(name)), subject_("[" + name_ + " \"" + label + "\"] ") {}
    /// The sentence says `about`.
    template <class Call> void expect(const char* what, const char* about, Call call) const {
        INFO(name_ << ", " << what);
        const std::string text = refusal(call);
        CHECK_THAT(text, StartsWith(subject_));
        CHECK_THAT(text, ContainsSubstring(about));
        CHECK(text.ends_with("."));
    }

private:
    std::string name_, subject_;
};

MPS::ImageBatch poisoned(const MPS::ImageDescriptor& d, size_t count) {
    return upload(
        reference::Tensor(count, d.height(), d.width(), d.featureChannels(), Guarded::poison));
}

bool isPoisoned(const MPS::ImageBatch& images) {
    const auto values = download(images).v;
    return std::all_of(values.begin(), values.end(), [](double v) { return v == Guarded::poison; });
}

} // namespace

TEST_CASE("copies and archives of every forward kernel give the same bits") {
    for (const EveryKernel& each : everyClass<EveryKernel>()) {
        const auto kernel = each.kernel.make();
        INFO(kernel->className());
        kernel->setLabel("original");
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto copy = each.kernel.copy(*kernel), again = each.kernel.again(*kernel);
        CHECK(copy->debugDescription() == kernel->debugDescription());
        CHECK(again->debugDescription() == kernel->debugDescription());
        std::vector<std::vector<double>> results;
        for (MPS::CNNKernel* k : {kernel.get(), copy.get(), again.get()}) {
            MPS::ImageBatch y;
            run([&](const MTL::CommandBuffer& commands) {
                y = k->encodeBatch(commands, sourceOf(each.source));
            });
            results.push_back(download(y).v);
        }
        CHECK(results[1] == results[0]);
        CHECK(results[2] == results[0]);
        conforms(kernel->className(), Aspect::Archive);
    }
}

TEST_CASE("copies and archives of every gradient kernel give the same bits") {
    for (const EveryGradient& each : everyClass<EveryGradient>()) {
        const auto kernel = each.kernel.make();
        INFO(kernel->className());
        kernel->setLabel("original");
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto copy = each.kernel.copy(*kernel), again = each.kernel.again(*kernel);
        CHECK(copy->debugDescription() == kernel->debugDescription());
        CHECK(again->debugDescription() == kernel->debugDescription());
        std::vector<std::vector<double>> results;
        for (MPS::CNNGradientKernel* k : {kernel.get(), copy.get(), again.get()}) {
            const auto in = each.forward(sourceOf(each.source));
            MPS::ImageBatch dx;
            run([&](const MTL::CommandBuffer& commands) {
                dx = k->encodeBatch(commands, in.gradient, in.second, in.states);
            });
            results.push_back(download(dx).v);
        }
        CHECK(results[1] == results[0]);
        CHECK(results[2] == results[0]);
        conforms(kernel->className(), Aspect::Archive);
    }
}

TEST_CASE("every returned gradient of an array lies at the images that the forward pass read") {
    for (const EveryGradient& each : everyClass<EveryGradient>()) {
        if (!each.takesArrays) continue;
        const auto kernel = each.kernel.make();
        INFO(kernel->className());
        kernel->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto& size = each.source;
        const Tensor x = reference::distinct(3, size.height, size.width, size.depth, 92, -2, 2);
        const auto twoFrom = [](const Tensor& of, size_t first) {
            Tensor two(2, of.h, of.w, of.c);
            const auto begin = of.v.begin() + std::ptrdiff_t(first * of.v.size() / of.n);
            std::copy_n(begin, two.v.size(), two.v.begin());
            return two;
        };
        const auto array = each.forward({uploadArray(x)});
        auto batch = each.forward(upload(twoFrom(x, 1)));
        batch.gradient = upload(twoFrom(download(array.gradient[0].batchRepresentation()), 0));
        MPS::Image dx;
        MPS::ImageBatch expected;
        run([&](const MTL::CommandBuffer& commands) {
            dx = kernel->encode(commands, array.gradient[0], array.second[0], array.states[0]);
            expected = each.kernel.copy(*kernel)->encodeBatch(commands, batch.gradient,
                                                              batch.second, batch.states);
        });
        REQUIRE(dx.numberOfImages() == 3);
        const Tensor all = download(dx.batchRepresentation());
        CHECK(reference::image(all, 0).v == std::vector<double>(all.v.size() / 3));
        CHECK(reference::compare(twoFrom(all, 1), download(expected), {1e-6}));
    }
}

TEST_CASE("copies and archives of every other kernel have the same properties") {
    for (const auto& each : everyClass<KernelClass<MPS::Kernel>>()) {
        const auto kernel = each.make();
        INFO(kernel->className());
        kernel->setLabel("original");
        CHECK(each.copy(*kernel)->debugDescription() == kernel->debugDescription());
        CHECK(each.again(*kernel)->debugDescription() == kernel->debugDescription());
        conforms(kernel->className(), Aspect::Archive);
    }
}

TEST_CASE("every forward kernel refuses misuse with a sentence and records nothing") {
    for (const EveryKernel& each : everyClass<EveryKernel>()) {
        const auto made = each.kernel.make();
        MPS::CNNKernel& k = *made;
        k.setLabel("mine");
        const Refusals refused(k.className(), "mine");
        const MPS::ImageBatch x = sourceOf(each.source);
        const MPS::ImageDescriptor d = k.destinationImageDescriptor({x[0]});
        const MPS::ImageBatch y = poisoned(d, 2);
        const auto changed = [&](auto change) {
            auto other = each.kernel.copy(k);
            change(*other);
            return other;
        };
        run([&](const MTL::CommandBuffer& commands) {
            refused.expect("no command buffer", "The command buffer handle is empty",
                           [&] { k.encodeBatch(MTL::CommandBuffer(), x, y); });
            refused.expect("no command buffer, returned", "The command buffer handle is empty",
                           [&] { k.encodeBatch(MTL::CommandBuffer(), x); });
            MTL::CommandBuffer committed = testQueue().commandBuffer();
            committed.commit();
            refused.expect("a committed command buffer", "The command buffer is committed already",
                           [&] { k.encodeBatch(committed, x, y); });
            refused.expect("empty handle", "sourceImage is an empty image handle",
                           [&] { k.encode(commands, MPS::Image(), y[0]); });
            refused.expect("empty destination", "destinationImage is an empty image handle",
                           [&] { k.encode(commands, x[0], MPS::Image()); });
            refused.expect("empty handle in a batch", "sourceImages[1] is an empty image handle",
                           [&] {
                               k.encodeBatch(commands, {x[0], MPS::Image()}, y);
                           });
            refused.expect("empty batch", "sourceImages is an empty batch",
                           [&] { k.encodeBatch(commands, MPS::ImageBatch(), MPS::ImageBatch()); });
            refused.expect("empty batch, returned", "sourceImages is an empty batch",
                           [&] { k.encodeBatch(commands, MPS::ImageBatch()); });
            refused.expect("batches of two lengths",
                           "sourceImages has 2 images but destinationImages has 1",
                           [&] { k.encodeBatch(commands, x, MPS::ImageBatch{y[0]}); });
            auto several = descriptorLike(x[0]);
            several.setNumberOfImages(2);
            const MPS::Image array(testDevice(), several);
            refused.expect("arrays in a batch", "has numberOfImages 2", [&] {
                k.encodeBatch(commands, {array, array}, y);
            });
            refused.expect("source and destination in one", "does not work in place",
                           [&] { k.encodeBatch(commands, x, x); });
            auto wide = descriptorLike(x[0]);
            wide.setWidth(wide.width() + 1);
            const MPS::Image wider(testDevice(), wide);
            refused.expect("two shapes in a batch", "sourceImages[1] is ", [&] {
                k.encodeBatch(commands, {x[0], wider}, y);
            });
            refused.expect("a source of another device", "sourceImage belongs to the device", [&] {
                k.encode(commands, MPS::Image(foreignDevice(), descriptorLike(x[0])), y[0]);
            });
            refused.expect("a destination of another device",
                           "destinationImage belongs to the device",
                           [&] { k.encode(commands, x[0], MPS::Image(foreignDevice(), d)); });
            MTL::CommandBuffer foreign = foreignDevice().newCommandQueue().commandBuffer();
            refused.expect("a command buffer of another device",
                           "The command buffer belongs to the device", [&] {
                               k.encode(foreign, MPS::Image(foreignDevice(), descriptorLike(x[0])),
                                        MPS::Image(foreignDevice(), d));
                           });
            if (!each.anyChannelOffset) {
                const auto odd = changed([](auto& o) { o.setSourceFeatureChannelOffset(2); });
                refused.expect("a source channel offset of 2",
                               "sourceFeatureChannelOffset is 2 but must be a multiple of 4",
                               [&] { odd->encodeBatch(commands, x, y); });
            }
            const auto oddTo = changed([](auto& o) { o.setDestinationFeatureChannelOffset(2); });
            refused.expect("a destination channel offset of 2",
                           "destinationFeatureChannelOffset is 2 but must be a multiple of 4",
                           [&] { oddTo->encodeBatch(commands, x, y); });
            const auto beyond = changed([](auto& o) { o.setSourceFeatureChannelOffset(400); });
            refused.expect("source channels that are not there", "sourceImage has ",
                           [&] { beyond->encodeBatch(commands, x, y); });
            const auto beyondTo =
                changed([](auto& o) { o.setDestinationFeatureChannelOffset(400); });
            refused.expect("destination channels that are not there", "destinationImage has ",
                           [&] { beyondTo->encodeBatch(commands, x, y); });
            const MPS::TemporaryImage spent(commands, descriptorLike(x[0]));
            spent.setReadCount(0);
            refused.expect("a spent temporary image",
                           "sourceImage is a temporary image whose read count is 0",
                           [&] { k.encode(commands, spent, y[0]); });
            const MPS::TemporaryImage temporary(commands, descriptorLike(x[0]));
            refused.expect("a temporary and a missing image",
                           "sourceImages[1] is an empty image handle", [&] {
                               k.encodeBatch(commands, {temporary, MPS::Image()}, y);
                           });
            CHECK(temporary.readCount() == 1);
            const auto states = k.resultStateBatch(x, {}, y);
            if (!states.empty()) {
                refused.expect("one state for two images",
                               "There are 2 images but destinationStates has 1 state",
                               [&] { k.encodeBatch(commands, x, MPS::StateBatch{states[0]}, y); });
                refused.expect("a state of no kernel", "tate", [&] {
                    const MPS::State stranger(testDevice(), 64);
                    k.encodeBatch(commands, x, MPS::StateBatch{stranger, stranger}, y);
                });
            }
        });
        INFO(k.className() << " wrote although it refused");
        CHECK(isPoisoned(y));
        conforms(k.className(), Aspect::Misuse);
    }
}

TEST_CASE("every gradient kernel refuses misuse with a sentence and records nothing") {
    for (const EveryGradient& each : everyClass<EveryGradient>()) {
        const auto made = each.kernel.make();
        MPS::CNNGradientKernel& k = *made;
        k.setLabel("mine");
        const Refusals refused(k.className(), "mine");
        const MPS::ImageBatch x = sourceOf(each.source);
        const auto in = each.forward(x);
        const auto& [g, s, states] = in;
        const MPS::ImageDescriptor d = k.destinationImageDescriptor({g[0], s[0]}, {states[0]});
        const MPS::ImageBatch dx = poisoned(d, 2);
        const auto changed = [&](auto change) {
            auto other = each.kernel.copy(k);
            change(*other);
            return other;
        };
        run([&](const MTL::CommandBuffer& commands) {
            refused.expect("no command buffer", "The command buffer handle is empty",
                           [&] { k.encodeBatch(MTL::CommandBuffer(), g, s, states, dx); });
            refused.expect("no command buffer, returned", "The command buffer handle is empty",
                           [&] { k.encodeBatch(MTL::CommandBuffer(), g, s, states); });
            refused.expect("empty gradient", "primaryImage is an empty image handle",
                           [&] { k.encode(commands, MPS::Image(), s[0], states[0], dx[0]); });
            refused.expect("empty source image", "secondaryImage is an empty image handle",
                           [&] { k.encode(commands, g[0], MPS::Image(), states[0], dx[0]); });
            refused.expect("empty state", "is an empty state handle",
                           [&] { k.encode(commands, g[0], s[0], MPS::State(), dx[0]); });
            refused.expect("empty state, returned", "is an empty state handle",
                           [&] { k.encode(commands, g[0], s[0], MPS::State()); });
            refused.expect("empty destination", "destinationImage is an empty image handle",
                           [&] { k.encode(commands, g[0], s[0], states[0], MPS::Image()); });
            refused.expect("fewer source images", "has 2 images but the secondary batch has 1",
                           [&] { k.encodeBatch(commands, g, MPS::ImageBatch{s[0]}, states, dx); });
            refused.expect("fewer states", "There are 2 images but gradientStates has 1 state",
                           [&] { k.encodeBatch(commands, g, s, MPS::StateBatch{states[0]}, dx); });
            refused.expect("fewer destinations", "has 2 images but destinationImages has 1",
                           [&] { k.encodeBatch(commands, g, s, states, MPS::ImageBatch{dx[0]}); });
            const MPS::State stranger(testDevice(), 64);
            refused.expect("a state of no kernel", "is no gradient state of a forward kernel", [&] {
                k.encodeBatch(commands, g, s, MPS::StateBatch{stranger, stranger}, dx);
            });
            refused.expect("gradient and destination in one", "does not work in place",
                           [&] { k.encodeBatch(commands, g, s, states, g); });
            refused.expect("a gradient of another device", "primaryImage belongs to the device",
                           [&] {
                               k.encode(commands, MPS::Image(foreignDevice(), descriptorLike(g[0])),
                                        s[0], states[0], dx[0]);
                           });
            refused.expect(
                "a destination of another device", "destinationImage belongs to the device",
                [&] { k.encode(commands, g[0], s[0], states[0], MPS::Image(foreignDevice(), d)); });
            const auto odd = changed([](auto& o) { o.setPrimarySourceFeatureChannelOffset(2); });
            refused.expect("a gradient channel offset of 2",
                           "primarySourceFeatureChannelOffset is 2 but must be a multiple of 4",
                           [&] { odd->encodeBatch(commands, g, s, states, dx); });
            const auto oddSecond =
                changed([](auto& o) { o.setSecondarySourceFeatureChannelOffset(2); });
            refused.expect("a source channel offset of 2",
                           "secondarySourceFeatureChannelOffset is 2 but must be a multiple of 4",
                           [&] { oddSecond->encodeBatch(commands, g, s, states, dx); });
            const auto oddTo = changed([](auto& o) { o.setDestinationFeatureChannelOffset(2); });
            refused.expect("a destination channel offset of 2",
                           "destinationFeatureChannelOffset is 2 but must be a multiple of 4",
                           [&] { oddTo->encodeBatch(commands, g, s, states, dx); });
            const auto beyond =
                changed([](auto& o) { o.setPrimarySourceFeatureChannelOffset(400); });
            refused.expect("gradient channels that are not there", "primaryImage has ",
                           [&] { beyond->encodeBatch(commands, g, s, states, dx); });
            const auto beyondTo =
                changed([](auto& o) { o.setDestinationFeatureChannelOffset(400); });
            refused.expect("destination channels that are not there", "destinationImage has ",
                           [&] { beyondTo->encodeBatch(commands, g, s, states, dx); });
            const MPS::TemporaryImage spent(commands, descriptorLike(g[0]));
            spent.setReadCount(0);
            refused.expect("a spent temporary image",
                           "primaryImage is a temporary image whose read count is 0",
                           [&] { k.encode(commands, spent, s[0], states[0], dx[0]); });
            const MPS::TemporaryImage temporary(commands, descriptorLike(g[0]));
            refused.expect("a temporary image and an empty state", "is an empty state handle",
                           [&] { k.encode(commands, temporary, s[0], MPS::State(), dx[0]); });
            CHECK(temporary.readCount() == 1);
        });
        INFO(k.className() << " wrote although it refused");
        CHECK(isPoisoned(dx));
        conforms(k.className(), Aspect::Misuse);
    }
}

// How poolings are configured, placed and sized, and what they refuse.
#include "mps/PoolingKernels.hpp"
#include "support/EveryKernel.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

template <class Forward, class Gradient, class... Window> bool everyPooling(Window... window) {
    const auto forward = [=] { return Forward(testDevice(), window...); };
    return everyKernel(forward) &&
           everyGradient([=] { return Gradient(testDevice(), window...); }, forwardPass(forward));
}

[[maybe_unused]] const bool named =
    everyPooling<MPS::CNNPoolingMax, MPS::CNNPoolingMaxGradient>(3, 2, 2, 1) &&
    everyPooling<MPS::CNNPoolingAverage, MPS::CNNPoolingAverageGradient>(2, 3, 1, 2) &&
    everyPooling<MPS::CNNPoolingL2Norm, MPS::CNNPoolingL2NormGradient>(3, 3, 2, 2) &&
    everyPooling<MPS::CNNDilatedPoolingMax, MPS::CNNDilatedPoolingMaxGradient>(2, 2, 2, 3, 1, 2);

} // namespace

TEST_CASE("clip rectangles, channel ranges and both offsets place a pooling and its gradient") {
    const auto how = GENERATE(StateIs::Given, StateIs::Returned);
    const Tensor x = reference::distinct(2, 7, 8, 12, 5),
                 before = reference::random(2, 6, 5, 16, 6);
    Pooling k{PoolingType::Max, 3, 2, 2, 2};
    k.offsetX = 1, k.offsetY = 2, k.outputWidth = 3, k.outputHeight = 2;
    const auto pool = forwardOf(k);
    pool->setClipRect({{2, 3, 0}, {3, 2, 1}});
    pool->setSourceFeatureChannelOffset(4);
    pool->setSourceFeatureChannelMaxCount(5);
    pool->setDestinationFeatureChannelOffset(8);
    const auto gradient = gradientOf(k);
    gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x), y = upload(before), g = upload(reference::randomLike(before, 7));
    MPS::ImageBatch dx;
    const auto byHand = upload(Tensor(2, 7, 8, 8, 9.0));
    const auto explicitGradient = gradientOf(k);
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = encodeWithState(commands, *pool, source, y, how);
        dx = gradient->encodeBatch(commands, g, source, states);
        explicitGradient->setPrimaryOffset({2, 3, 0});
        explicitGradient->setSourceSize({2, 2, 1}); // without the last column of windows
        explicitGradient->setSecondaryOffset({1, 2, 0});
        explicitGradient->setPrimarySourceFeatureChannelOffset(8);
        explicitGradient->setSecondarySourceFeatureChannelOffset(4);
        explicitGradient->setSecondarySourceFeatureChannelMaxCount(4);
        explicitGradient->setDestinationFeatureChannelOffset(4);
        explicitGradient->setClipRect({{1, 2, 0}, {5, 4, 1}});
        explicitGradient->encodeBatch(commands, g, source, states, byHand);
    });
    const Tensor part = reference::channels(x, 4, 5);
    // A returned image is zero elsewhere.
    Tensor expected = how == StateIs::Given ? before : Tensor(2, 6, 5, 16, 0.0);
    Tensor written = forward(k, part);
    reference::paste(expected, {2, 3}, 8, written);
    Tensor actual = download(y);
    for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
        for (size_t i = 3; i < 5; ++i)
            for (size_t j = 2; j < 5; ++j)
                for (size_t c = 13; c < 16; ++c) actual.at(n, i, j, c) = expected.at(n, i, j, c);
    CHECK(reference::compare(actual, expected, {1e-6}));

    const Tensor incoming = download(g);
    CHECK(gradient->primaryOffset() == MPS::Offset{2, 3, 0});
    CHECK(gradient->secondaryOffset() == MPS::Offset{1, 2, 0});
    CHECK(gradient->sourceSize().width == 3);
    CHECK(gradient->clipRect().origin == MTL::Origin{0, 1, 0});
    CHECK(gradient->clipRect().size.height == 6);
    const Tensor used = reference::channels(reference::crop(incoming, {2, 3, 3, 2}), 8, 5);
    CHECK(reference::compare(download(dx), reference::gradient(k, used, part), {1e-6}));

    Tensor placed(2, 7, 8, 8, 9.0), four(2, 7, 8, 4, 9.0);
    reference::gradient(k, {2, 3, 2, 2, {1, 2, 5, 4}}, reference::channels(incoming, 8, 4),
                        reference::channels(x, 4, 4), four);
    reference::paste(placed, {0, 0}, 4, four);
    CHECK(reference::compare(download(byHand), placed, {1e-6}));
}

TEST_CASE("a pooling gradient whose offset leaves no window of the incoming gradient is zero") {
    for (const PoolingType type : {PoolingType::Average, PoolingType::Max})
        for (const MPS::Offset offset : {MPS::Offset{3, 0, 0}, MPS::Offset{0, 1 << 20, 0}}) {
            INFO("type " << int(type) << " offset " << offset.x << ", " << offset.y);
            Pooling k{type, 3, 3, 2, 2};
            k.outputWidth = k.outputHeight = 3;
            const Tensor x = reference::random(2, 6, 6, 8, 1);
            const auto pool = forwardOf(k);
            const auto back = gradientOf(k);
            back->setPrimaryOffset(offset);
            back->setSourceSize({3, 3, 1});
            const Tensor none(2, 3, 3, 8, 1e30);
            const auto source = upload(x), y = upload(none), dx = upload(Tensor(2, 6, 6, 8, 9.0));
            run([&](const MTL::CommandBuffer& commands) {
                const auto states = encodeWithState(commands, *pool, source, y, StateIs::Given);
                back->encodeBatch(commands, upload(none), source, states, dx);
            });
            CHECK(download(dx).v == Tensor(2, 6, 6, 8, 0.0).v);
        }
}

TEST_CASE("an array of images is pooled as one, from and to the images that the kernel names") {
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 6, 4, 3, 5);
    MPS::ImageDescriptor half(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 3, 4);
    const MPS::Image x(testDevice(), d), dx(testDevice(), d), y(testDevice(), half),
        g(testDevice(), half);
    const Tensor source = reference::distinct(5, 4, 6, 3, 8),
                 incoming = reference::random(4, 2, 3, 3, 9);
    for (size_t i = 0; i < 5; ++i)
        x.write(reference::image(source, i).floats(), MPS::DataLayout::HeightxWidthxFeatureChannels,
                i);
    for (size_t i = 0; i < 4; ++i)
        g.write(reference::image(incoming, i).floats(),
                MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    Pooling k{PoolingType::Max, 2, 2, 2, 2};
    k.offsetX = k.offsetY = 1, k.outputWidth = 3, k.outputHeight = 2;
    const auto pool = forwardOf(k);
    pool->setOffset({1, 1, 2});
    pool->setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 3}});
    const auto gradient = gradientOf(k);
    gradient->setPrimaryOffset({0, 0, 1});
    gradient->setSecondaryOffset({1, 1, 2});
    gradient->setClipRect({{0, 0, 2}, {UINT64_MAX, UINT64_MAX, 3}});
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::State state = pool->resultState(x, {}, y);
        pool->encode(commands, x, state, y);
        gradient->encode(commands, g, x, state, dx);
    });
    for (size_t i = 0; i < 3; ++i) {
        std::vector<float> result(18), slope(72);
        y.read(result, MPS::DataLayout::HeightxWidthxFeatureChannels, 1 + i);
        dx.read(slope, MPS::DataLayout::HeightxWidthxFeatureChannels, 2 + i);
        const Tensor one = reference::image(source, 2 + i);
        CHECK(
            reference::compare(reference::fromFloats(1, 2, 3, 3, result), forward(k, one), {1e-6}));
        CHECK(reference::compare(reference::fromFloats(1, 4, 6, 3, slope),
                                 reference::gradient(k, reference::image(incoming, 1 + i), one),
                                 {1e-6}));
    }
}

TEST_CASE("positions of maxima are only taken for the forward pass that they are of") {
    const MTL::Device device = testDevice();
    const bool dilates = GENERATE(false, true);
    std::unique_ptr<MPS::CNNPooling> pool;
    std::unique_ptr<MPS::CNNPoolingGradient> back;
    if (dilates) {
        pool = std::make_unique<MPS::CNNDilatedPoolingMax>(device, 2, 2, 1, 1, 2, 2);
        back = std::make_unique<MPS::CNNDilatedPoolingMaxGradient>(device, 2, 2, 1, 1, 2, 2);
    } else {
        pool = std::make_unique<MPS::CNNPoolingMax>(device, 2, 2, 2, 2);
        back = std::make_unique<MPS::CNNPoolingMaxGradient>(device, 2, 2, 2, 2);
    }
    for (const Variant variant : variants()) {
        INFO(variant.name());
        const auto image = [&](std::vector<double> values) {
            return upload(Tensor(1, 2, 2, 1, std::move(values)), variant)[0];
        };
        const MPS::Image first = image({9, 2, 3, 4}), last = image({1, 2, 3, 9}),
                         g = upload(Tensor(1, 1, 1, 1, 5.0), variant)[0],
                         y = upload(Tensor(1, 1, 1, 1), variant)[0];
        const std::vector<double> ofFirst{5, 0, 0, 0}, ofLast{0, 0, 0, 5};
        pool->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        back->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch made;
        const auto gradient = [&](const MTL::CommandBuffer& commands, const MPS::Image& source,
                                  const MPS::State& state) {
            made.push_back(back->encode(commands, g, source, state));
        };
        const auto encoded = [&](auto encode) {
            made.clear();
            run(encode);
            std::vector<std::vector<double>> all;
            for (const MPS::Image& each : made) all.push_back(download({each}).v);
            return all;
        };
        using Gradients = std::vector<std::vector<double>>;
        MPS::State given, returned;
        pool->setOffset({1, 1, 0});
        CHECK(encoded([&](const MTL::CommandBuffer& commands) {
                  given = pool->resultState(first, {}, y);
                  pool->encode(commands, first, y); // leaves nothing in the state
                  gradient(commands, first, given);
                  pool->encode(commands, first, given, y);
                  gradient(commands, first, given);
                  gradient(commands, last, given);
                  pool->encode(commands, first, &returned, false);
                  gradient(commands, first, returned);
                  gradient(commands, last, returned);
              }) == Gradients{ofFirst, ofFirst, ofLast, ofFirst, ofLast});
        // The states once more, with other sources, which the forward passes may not tell them.
        CHECK(encoded([&](const MTL::CommandBuffer& commands) {
                  pool->encode(commands, last, y);
                  gradient(commands, last, given);
                  gradient(commands, last, returned);
                  pool->encode(commands, last, returned, y);
                  gradient(commands, last, returned);
                  gradient(commands, first, returned);
              }) == Gradients{ofLast, ofLast, ofLast, ofFirst});
        // The same image with other values.
        const MPS::Image changing = image({9, 2, 3, 4});
        CHECK(encoded([&](const MTL::CommandBuffer& commands) {
                  pool->encode(commands, changing, &returned, false);
                  gradient(commands, changing, returned);
              }) == Gradients{ofFirst});
        const std::vector<float> values{1, 2, 3, 9};
        changing.write(values, MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
        CHECK(encoded([&](const MTL::CommandBuffer& commands) {
                  pool->encode(commands, changing, y);
                  gradient(commands, changing, returned);
              }) == Gradients{ofLast});
        // One state for the images of a batch, and states of both kinds in one.
        CHECK(encoded([&](const MTL::CommandBuffer& commands) {
                  pool->encode(commands, first, &returned, false);
                  for (const MPS::StateBatch& states :
                       {MPS::StateBatch{given, given}, MPS::StateBatch{returned, returned},
                        MPS::StateBatch{returned, given}}) {
                      const auto dx = back->encodeBatch(commands, MPS::ImageBatch{g, g},
                                                        MPS::ImageBatch{first, last}, states);
                      made.insert(made.end(), dx.begin(), dx.end());
                  }
                  const MPS::StateBatch both{returned, returned};
                  pool->encodeBatch(commands, MPS::ImageBatch{last, first}, both,
                                    upload(Tensor(2, 1, 1, 1), variant));
                  const auto dx = back->encodeBatch(commands, MPS::ImageBatch{g, g},
                                                    MPS::ImageBatch{last, first}, both);
                  made.insert(made.end(), dx.begin(), dx.end());
              }) == Gradients{ofFirst, ofLast, ofFirst, ofLast, ofFirst, ofLast, ofLast, ofFirst});
    }
}

TEST_CASE("the padding policy sizes a pooling, and temporary images and states are read up") {
    const Tensor x = reference::distinct(3, 7, 5, 4, 10);
    MPS::CNNPoolingMax pool(testDevice(), 3, 3, 2, 2);
    MPS::CNNPoolingMaxGradient gradient(testDevice(), 3, 3, 2, 2);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    Pooling k{PoolingType::Max, 3, 3, 2, 2};
    k.outputWidth = 3, k.outputHeight = 4; // the same size, centred
    const auto source = upload(x);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = pool.encodeBatch(commands, source, &states, true);
        CHECK(y[0].width() == 3);
        CHECK(y[0].height() == 4);
        CHECK(pool.offset() == MPS::Offset{0, 0, 0});
        CHECK(states.size() == 3);
        CHECK(states[2].readCount() == 1);
        dx = gradient.encodeBatch(commands, y, source, states);
        CHECK(states[2].readCount() == 0);
        CHECK(y[0].as<MPS::TemporaryImage>().readCount() == 0);
        CHECK_THROWS_AS(gradient.encodeBatch(commands, y, source, states), InvalidArgument);
    });
    CHECK(reference::compare(download(dx), reference::gradient(k, forward(k, x), x), {1e-6}));
}

TEST_CASE("average pooling emulates other frameworks through its padding policy") {
    const Tensor x = reference::random(1, 6, 7, 3, 11);
    Pooling tensorflow{PoolingType::Average, 3, 3, 2, 2};
    tensorflow.edge = reference::EdgeMode::Clamp;
    tensorflow.outputWidth = 4, tensorflow.outputHeight = 3, tensorflow.offsetY = 1;
    MPS::CNNPoolingAverage pool(testDevice(), 3, 3, 2, 2);
    pool.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    pool.setPadding(MPS::NNDefaultPadding::paddingForTensorflowAveragePooling());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = pool.encodeBatch(commands, upload(x)); });
    CHECK(pool.edgeMode() == MPS::ImageEdgeMode::Clamp);
    CHECK(reference::compare(download(y), forward(tensorflow, x)));

    // Caffe: one pixel of padding, and a last window that hangs out further.
    MPS::CNNPoolingAverage caffe(testDevice(), 3, 3, 2, 2);
    caffe.setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::ExcludeEdges));
    MPS::CNNPoolingAverageGradient gradient(testDevice(), 3, 3, 2, 2);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    Pooling k = tensorflow;
    k.offsetY = 0, k.zeroPadX = k.zeroPadY = 1, k.outputWidth = 5, k.outputHeight = 4;
    const Tensor g = reference::random(1, 4, 5, 3, 12);
    Guarded result(1, 4, 5, 3);
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = caffe.resultStateBatch(upload(x), {}, result.images());
        caffe.encodeBatch(commands, upload(x), states, result.images());
        // Only the size of the forward source counts.
        auto unwritten = MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 7, 6, 3);
        const MPS::TemporaryImage size(commands, unwritten);
        dx = gradient.encodeBatch(commands, upload(g), {size}, states);
        CHECK(size.readCount() == 0);
    });
    CHECK(reference::compare(result.read(), forward(k, x)));
    CHECK(gradient.zeroPadSizeX() == 1);
    CHECK(reference::compare(download(dx), reference::gradient(k, g, x)));
}

TEST_CASE("pooling refuses what cannot be") {
    const MTL::Device device = testDevice();
    CHECK(refusal([&] { MPS::CNNPoolingMax(device, 2, 0, 1, 1); }) ==
          "[CNNPoolingMax] The window is 2x0, its stride 1x1 and its dilation 1x1, but each must "
          "be at least 1.");
    CHECK(refusal([&] {
              MPS::CNNDilatedPoolingMaxGradient(device, 2, 2, 0, 1, 1, 1);
          }).find("dilation 0x1") != std::string::npos);
    const auto x = upload(reference::random(2, 8, 8, 3, 1)), y = upload(Tensor(2, 4, 4, 3));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::CNNPoolingMax pool(device, 2, 2, 2, 2);
    pool.setLabel("pool1");
    pool.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { pool.encodeBatch(commands, x, y); }) ==
          "[CNNPoolingMax \"pool1\"] edgeMode is Mirror but only Zero and Clamp are known to this "
          "kernel.");
    pool.setEdgeMode(MPS::ImageEdgeMode::Zero);
    pool.setOffset({int64_t(1) << 40, 0, 0});
    CHECK(refusal([&] {
              pool.encodeBatch(commands, x, y);
          }).find("reach further than 2^30 pixels.") != std::string::npos);
    pool.setOffset({1, 1, 0});
    const auto states = pool.resultStateBatch(x, {}, y);
    pool.setClipRect({{0, 0, 0}, {3, 4, 1}});
    CHECK(refusal([&] { pool.encodeBatch(commands, x, states, y); }) ==
          "[CNNPoolingMax \"pool1\"] The destination state was made for 1 results of 4x4 with 3 "
          "feature "
          "channels but this encode writes 1 of 3x4 with 3.");
    pool.setClipRect(MPS::RectNoClip);
    MPS::CNNPoolingAverage average(device, 2, 2, 2, 2);
    CHECK(refusal([&] { average.encodeBatch(commands, x, states, y); }) ==
          "[CNNPoolingAverage] The destination state is none of a CNNPoolingAverage.");
    pool.encodeBatch(commands, x, states, y);

    MPS::CNNPoolingMaxGradient gradient(device, 2, 2, 2, 2);
    gradient.setLabel("pool1");
    const auto wrong = upload(Tensor(2, 8, 8, 3)), smaller = upload(Tensor(2, 7, 8, 3));
    CHECK(refusal([&] { gradient.encodeBatch(commands, wrong, x, states); }) ==
          "[CNNPoolingMaxGradient \"pool1\"] sourceGradient is 8x8 but the pooled 8x8 sourceImage "
          "gives 4x4.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, smaller, states); }) ==
          "[CNNPoolingMaxGradient \"pool1\"] sourceImage is 8x7 but the forward source of the "
          "gradient state "
          "was 8x8.");
    CHECK(
        refusal([&] {
            MPS::CNNPoolingAverageGradient(device, 2, 2).encodeBatch(commands, y, x, states, wrong);
        }) == "[CNNPoolingAverageGradient] gradientState was made by a CNNPoolingMax but this "
              "kernel takes those of "
              "a CNNPoolingAverage.");
    CHECK(refusal([&] {
              MPS::CNNPoolingMaxGradient(device, 3, 2).encodeBatch(commands, y, x, states, wrong);
          }) == "[CNNPoolingMaxGradient] The gradient state's window is 2x2 with the dilation 1x1 "
                "but this kernel's "
                "is 3x2 with 1x1.");
    gradient.setPrimaryStrideInPixelsX(0);
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, states, wrong);
          }).find("its stride 0x2") != std::string::npos);
    gradient.setPrimaryStrideInPixelsX(2);
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, states, wrong);
          }).find("secondaryEdgeMode is Constant") != std::string::npos);
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Zero);
    gradient.setPrimarySourceFeatureChannelMaxCount(2);
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, states, wrong); }) ==
          "[CNNPoolingMaxGradient \"pool1\"] sourceGradient gives 2 feature channels but "
          "sourceImage 3.");
}

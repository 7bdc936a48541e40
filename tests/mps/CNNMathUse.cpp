// Arrays of images, special values and properties of arithmetic kernels, and what they refuse.
#include "mps/ArithmeticKernels.hpp"
#include "mtl/CommandBuffer.hpp"
#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cfloat>
#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using Case = ArithmeticCase;

namespace {

template <class Forward> Forward configured() {
    Forward made(testDevice());
    made.setPrimaryScale(2);
    made.setBias(.25f);
    made.setSecondaryStrideInFeatureChannels(0);
    made.setMinimumValue(-1);
    return made;
}

/// Of the secondary operand, whose gradient an Add and a Subtract give the size of the operand.
template <class Forward, class Gradient> bool everyArithmetic() {
    const bool named = everyOther(configured<Forward>);
    return named &&
           everyGradient([] { return Gradient(testDevice(), true); },
                         [](const MPS::ImageBatch& x) {
                             Forward forward(testDevice());
                             forward.setMaximumValue(1);
                             forward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
                             GradientInputs made;
                             const auto other = upload(reference::randomLike(download(x), 5));
                             MPS::ImageBatch y;
                             run([&](const MTL::CommandBuffer& commands) {
                                 y = forward.encodeBatch(commands, other, x, &made.states, false);
                             });
                             made.gradient = upload(reference::randomLike(download(y), 6));
                             made.second = x;
                             return made;
                         },
                         {6, 5, 8}, false);
}
[[maybe_unused]] const bool named = everyArithmetic<MPS::CNNAdd, MPS::CNNAddGradient>() &&
                                    everyArithmetic<MPS::CNNSubtract, MPS::CNNSubtractGradient>() &&
                                    everyArithmetic<MPS::CNNMultiply, MPS::CNNMultiplyGradient>() &&
                                    everyOther(configured<MPS::CNNDivide>) &&
                                    everyOther(configured<MPS::NNCompare>);

size_t dispatchesOf(const MTL::CommandBuffer& commands) {
    size_t sum = 0;
    for (const auto& segment : commands.impl().segments) sum += segment->commands.dispatchCount();
    return sum;
}

} // namespace

TEST_CASE("one image with many in it, and one state for them") {
    const Case k{ArithmeticOperation::Add, {1, 1, 1}, {1, 0, 1}, 3, 5, 6, true};
    const Tensor x = k.operand(3, k.primary, 1), y = k.operand(3, k.secondary, 2);
    const Arithmetic a = k.reference();
    const Tensor g = reference::rounded(reference::randomLike(x, 3), reference::Storage::Float32);
    const auto read = [](const MPS::Image& image) { return download(image.batchRepresentation()); };
    const auto z = uploadArray(Tensor(3, 3, 5, 6, Guarded::poison)), left = uploadArray(x),
               right = uploadArray(y), dz = uploadArray(g);
    const auto forward = k.forward();
    const auto gradient = k.gradient(true);
    gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::Image dy;
    run([&](const MTL::CommandBuffer& commands) {
        const auto state =
            forward->resultState(left, right, {}, z).as<MPS::CNNArithmeticGradientState>();
        REQUIRE(state);
        forward->encode(commands, left, right, state, z);
        dy = gradient->encode(commands, dz, right, state);
    });
    REQUIRE(dy.numberOfImages() == 3);
    CHECK(reference::compare(read(z), reference::forward(a, x, y)));
    CHECK(reference::compare(read(dy), reference::gradient(a, g, x, y, true), {1e-5, 1e-7}));
}

TEST_CASE("returned sums and gradients of arrays lie at the images that were added") {
    // Images 1 and 2 of the left operand and 0 and 1 of the right one become 0 and 1 of the sum.
    const auto one = [](double a, double b, double c) { return Tensor(3, 1, 1, 1, {a, b, c}); };
    const auto left = uploadArray(one(1, 2, 3)), right = uploadArray(Tensor(2, 1, 1, 1, {.5, 4})),
               dz = uploadArray(one(10, 20, 30));
    MPS::CNNAdd add(testDevice());
    add.setPrimaryOffset({0, 0, 1});
    add.setMaximumValue(5);
    MPS::CNNMultiply multiply(testDevice());
    multiply.setPrimaryOffset({0, 0, 1});
    const auto read = [](const MPS::Image& image) {
        return download(image.batchRepresentation()).v;
    };
    using Values = std::vector<double>;
    MPS::Image z, gradients[4];
    run([&](const MTL::CommandBuffer& commands) {
        MPS::State state;
        add.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        z = add.encode(commands, left, right, &state, false);
        for (const bool isSecondary : {false, true}) {
            MPS::CNNAddGradient gradient(testDevice(), isSecondary);
            gradient.setMaximumValue(5);
            gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            gradients[isSecondary] =
                gradient.encode(commands, dz, isSecondary ? right : left, state);
        }
        multiply.encode(commands, left, right, &state, false);
        for (const bool isSecondary : {false, true}) {
            MPS::CNNMultiplyGradient gradient(testDevice(), isSecondary);
            gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
            gradients[2 + isSecondary] =
                gradient.encode(commands, dz, isSecondary ? left : right, state);
        }
    });
    CHECK(read(z) == Values{2.5, 5, 0});
    CHECK(read(gradients[0]) == Values{0, 10, 0}); // the second sum was clamped
    CHECK(read(gradients[1]) == Values{10, 0});
    CHECK(read(gradients[2]) == Values{0, 5, 80});
    CHECK(read(gradients[3]) == Values{20, 60});
}

TEST_CASE("the last pixel of a clamped operand gets its whole gradient in a wider destination") {
    const auto x = upload(Tensor(1, 1, 4, 1, 1)), other = upload(Tensor(1, 1, 6, 1, 2)),
               dz = upload(Tensor(1, 1, 6, 1, 1));
    MPS::CNNAdd add(testDevice());
    add.setPrimaryEdgeMode(MPS::ImageEdgeMode::Clamp);
    MPS::CNNAddGradient gradient(testDevice(), false);
    Guarded z(1, 1, 6, 1), dx(1, 1, 6, 1);
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = add.resultStateBatch(x, other, {}, z.images());
        add.encodeBatch(commands, x, other, states, z.images());
        gradient.destinationImageDescriptor({dz[0], x[0]}, states);
        gradient.setClipRect(MTL::RegionMake2D(0, 0, 4, 1));
        gradient.encodeBatch(commands, dz, x, states, dx.images());
    });
    CHECK(z.read().v == std::vector<double>(6, 3));
    constexpr double untouched = Guarded::poison;
    CHECK(dx.read().v == std::vector<double>{1, 1, 1, 3, untouched, untouched});
}

TEST_CASE("a batch's gradient states all have a mask, or none has") {
    const auto x = upload(Tensor(1, 1, 1, 1, 1.0))[0];
    MPS::CNNAdd add(testDevice());
    const MPS::State plain = add.resultState(x, x, {}, x);
    add.setMaximumValue(5);
    const MPS::State clamped = add.resultState(x, x, {}, x);
    const MPS::ImageBatch two{x, x};
    MPS::CNNAddGradient gradient(testDevice(), false);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, two, two, MPS::StateBatch{clamped, plain});
          }) == "[CNNAddGradient] Some of the gradient states were made for clamped results and "
                "some without bounds.");
}

TEST_CASE("images of a result that an encode makes but does not reach are zeros") {
    const Tensor x = reference::random(3, 3, 5, 6, 1), y = reference::random(2, 3, 5, 6, 2);
    const auto left = uploadArray(x), right = uploadArray(y);
    const auto sums = uploadArray(Tensor(3, 3, 5, 6, -1)),
               moved = uploadArray(Tensor(3, 3, 5, 6, -1));
    const auto linear = [](float b) {
        const MPS::NNNeuronDescriptor d(MPS::CNNNeuronType::Linear, b == 0, b);
        return MPS::CNNNeuron(testDevice(), d);
    };
    MPS::CNNAdd add(testDevice());
    auto sevens = linear(7), copy = linear(0), skip = linear(0);
    skip.setOffset({0, 0, 1});
    run([&](const MTL::CommandBuffer& commands) {
        // What the memory of each result holds before.
        sevens.encode(commands, left).as<MPS::TemporaryImage>().setReadCount(0);
        copy.encode(commands, add.encode(commands, left, right), sums);
        sevens.encode(commands, left).as<MPS::TemporaryImage>().setReadCount(0);
        copy.encode(commands, skip.encode(commands, left), moved);
    });
    const auto read = [](const MPS::Image& image, size_t index) {
        return reference::image(download(image.batchRepresentation()), index).v;
    };
    const std::vector<double> zeros(3 * 5 * 6);
    CHECK(read(sums, 0) != zeros);
    CHECK(read(sums, 1) != zeros);
    CHECK(read(sums, 2) == zeros);
    CHECK(read(moved, 0) == read(left, 1));
    CHECK(read(moved, 1) == read(left, 2));
    CHECK(read(moved, 2) == zeros);
}

TEST_CASE("some images of an array, clamped, and a batch's masks in one dispatch") {
    const Case k{ArithmeticOperation::Subtract, {1, 1, 1}, {1, 1, 1}, 3, 5, 6, true};
    const Tensor x = k.operand(4, k.primary, 1), y = k.operand(4, k.secondary, 2);
    const Arithmetic a = k.reference();
    const Tensor g = reference::rounded(reference::randomLike(x, 3), reference::Storage::Float32);
    const auto left = uploadArray(x), right = uploadArray(y), dz = uploadArray(g),
               z = uploadArray(Tensor(4, 3, 5, 6, -9)), dx = uploadArray(Tensor(4, 3, 5, 6, -9));
    const auto forward = k.forward();
    const auto gradient = k.gradient(false);
    const MTL::Region three{{0, 0, 0}, {UINT64_MAX, UINT64_MAX, 3}};
    forward->setClipRect(three);
    forward->setPrimaryOffset({0, 0, 1});
    gradient->setClipRect(three);
    MPS::State state;
    run([&](const MTL::CommandBuffer& commands) {
        state = forward->resultState(left, right, {}, z);
        forward->encode(commands, left, right, state.as<MPS::CNNArithmeticGradientState>(), z);
        gradient->encode(commands, dz, left, state, dx);
    });
    const Tensor result = download(z.batchRepresentation()),
                 slope = download(dx.batchRepresentation());
    for (size_t i = 0; i < 3; ++i) {
        const Tensor p = reference::image(x, 1 + i), q = reference::image(y, i);
        CHECK(reference::compare(reference::image(result, i), reference::forward(a, p, q)));
        CHECK(reference::compare(reference::image(slope, i),
                                 reference::gradient(a, reference::image(g, i), p, q, false)));
    }
    CHECK(reference::image(result, 3).v == Tensor(1, 3, 5, 6, -9).v);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    gradient->setClipRect(MPS::RectNoClip);
    CHECK(refusal([&] { gradient->encode(commands, dz, left, state, dx); }) ==
          "[CNNSubtractGradient] gradientState was made for 3 images but this encode has 4 for "
          "each state.");
    forward->setClipRect(MPS::RectNoClip);
    forward->setPrimaryOffset({});
    const auto encode = [&] {
        forward->encode(commands, left, right, state.as<MPS::CNNArithmeticGradientState>(), z);
    };
    CHECK(refusal(encode) ==
          "[CNNSubtract] destinationState was made for 3 images but this encode has 4 for each "
          "state.");
    forward->setClipRect(three);
    forward->setMinimumValue(-FLT_MAX);
    forward->setMaximumValue(FLT_MAX);
    CHECK(refusal(encode) ==
          "[CNNSubtract] destinationState was made for clamped results but minimumValue and "
          "maximumValue have changed since.");

    const auto batched = k.forward();
    const auto one = upload(x), two = upload(y);
    Guarded to(4, 3, 5, 6);
    const auto states = batched->resultStateBatch(one, two, {}, to.images());
    batched->encodeBatch(commands, one, two, states, to.images());
    CHECK(dispatchesOf(commands) == 1);
}

TEST_CASE("properties of arithmetic kernels at first") {
    MPS::CNNDivide divide(testDevice());
    CHECK(divide.primaryScale() == 1);
    CHECK(divide.secondaryScale() == 1);
    CHECK(divide.bias() == 0);
    CHECK(divide.primaryStrideInPixelsX() == 1);
    CHECK(divide.secondaryStrideInPixelsY() == 1);
    CHECK(divide.primaryStrideInFeatureChannels() == 1);
    CHECK(divide.secondaryStrideInFeatureChannels() == 1);
    CHECK(divide.minimumValue() == -FLT_MAX);
    CHECK(divide.maximumValue() == FLT_MAX);
    MPS::NNCompare compare(testDevice());
    CHECK(compare.comparisonType() == MPS::NNComparisonType::Equal);
    CHECK(compare.threshold() == 0);
    MPS::CNNMultiplyGradient gradient(testDevice(), true);
    CHECK(gradient.isSecondarySourceFilter());
    CHECK(gradient.primaryScale() == 1);
    CHECK(gradient.secondaryScale() == 1);
    CHECK(gradient.secondaryStrideInFeatureChannels() == 1);
    CHECK(gradient.minimumValue() == -FLT_MAX);
    // The bias is kept and has no effect.
    const auto g = upload(reference::random(1, 2, 3, 4, 1)),
               s = upload(reference::random(1, 2, 3, 4, 2));
    Guarded plain(1, 2, 3, 4), biased(1, 2, 3, 4);
    run([&](const MTL::CommandBuffer& commands) {
        gradient.encodeBatch(commands, g, s, plain.images());
        gradient.setBias(5);
        gradient.encodeBatch(commands, g, s, biased.images());
    });
    CHECK(gradient.bias() == 5);
    CHECK(plain.read().v == biased.read().v);
}

TEST_CASE("scalars to a given destination, infinities and NaN") {
    MPS::CNNAdd add(testDevice());
    for (auto set : {&MPS::CNNBinaryKernel::setPrimaryStrideInPixelsX,
                     &MPS::CNNBinaryKernel::setPrimaryStrideInPixelsY,
                     &MPS::CNNBinaryKernel::setSecondaryStrideInPixelsX,
                     &MPS::CNNBinaryKernel::setSecondaryStrideInPixelsY})
        (add.*set)(0);
    add.setPrimaryStrideInFeatureChannels(0);
    add.setSecondaryStrideInFeatureChannels(0);
    Guarded all(2, 3, 2, 7);
    run([&](const MTL::CommandBuffer& commands) {
        add.encodeBatch(commands, upload(Tensor(2, 1, 1, 1, {1, 2})),
                        upload(Tensor(2, 1, 1, 1, {8, 16})), all.images());
    });
    for (size_t n = 0; n < 2; ++n)
        CHECK(reference::image(all.read(), n).v == Tensor(1, 3, 2, 7, n ? 18 : 9).v);

    const double infinity = std::numeric_limits<double>::infinity();
    const Tensor x(1, 1, 1, 5, {1, -1, 0, 3, 4}), y(1, 1, 1, 5, {0, 0, 0, 2, -2});
    MPS::CNNDivide divide(testDevice());
    Guarded free(1, 1, 1, 5), bounded(1, 1, 1, 5);
    run([&](const MTL::CommandBuffer& commands) {
        divide.encodeBatch(commands, upload(x), upload(y), free.images());
        divide.setMaximumValue(1);
        divide.encodeBatch(commands, upload(x), upload(y), bounded.images());
    });
    CHECK(free.read().v[0] == infinity);
    CHECK(free.read().v[1] == -infinity);
    CHECK(std::isnan(free.read().v[2]));
    CHECK(bounded.read().v[0] == 1);
    CHECK(std::isnan(bounded.read().v[2]));
    CHECK(bounded.read().v[3] == 1);
    CHECK(bounded.read().v[4] == -2);
}

TEST_CASE("every arithmetic kernel refuses misuse and records nothing") {
    const auto image = [](size_t width, size_t channels) {
        return upload(Tensor(1, 2, width, channels))[0];
    };
    const auto a = image(3, 8), b = image(3, 8), z = image(3, 8);
    const auto check = [&](auto kernel) {
        kernel.setLabel("k");
        const std::string who = "[" + kernel.className() + " \"k\"] ";
        const MTL::CommandBuffer commands = testQueue().commandBuffer();
        const auto says = [&](const std::string& text, const std::function<void()>& call) {
            CHECK(refusal(call) == who + text);
        };
        says("The command buffer handle is empty.",
             [&] { kernel.encode(MTL::CommandBuffer(), a, b, z); });
        says("primaryImage is an empty image handle.",
             [&] { kernel.encode(commands, MPS::Image(), b, z); });
        says("secondaryImage is an empty image handle.",
             [&] { kernel.encode(commands, a, MPS::Image()); });
        says("destinationImage is an empty image handle.",
             [&] { kernel.encode(commands, a, b, MPS::Image()); });
        says("The primary batch has 2 images but the secondary batch has 1.", [&] {
            kernel.encodeBatch(commands, {a, b}, {b}, {z, image(3, 8)});
        });
        says("The primary batch has 1 images but destinationImages has 2.", [&] {
            kernel.encodeBatch(commands, {a}, {b}, {z, image(3, 8)});
        });
        says("primaryImages[1] is 4x2 with 8 feature channels but primaryImages[0] is 3x2 with 8.",
             [&] {
                 kernel.encodeBatch(commands, {a, image(4, 8)}, {b, b}, {z, image(3, 8)});
             });
        says("A destination image is also a source image; the kernel does not work in place.",
             [&] { kernel.encode(commands, a, b, b); });
        says("destinationImage has 4 feature channels but channels 0 to 8 are needed.",
             [&] { kernel.encode(commands, a, b, image(3, 4)); });
        const MPS::TemporaryImage spent(
            commands, MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 8));
        spent.setReadCount(0);
        says("secondaryImage is a temporary image whose read count is 0: its memory is given back "
             "already.",
             [&] { kernel.encode(commands, a, spent, z); });
        auto odd = kernel;
        odd.setSecondarySourceFeatureChannelOffset(2);
        says("secondarySourceFeatureChannelOffset is 2 but must be a multiple of 4.",
             [&] { odd.encode(commands, a, b, z); });
        odd.setSecondarySourceFeatureChannelOffset(0);
        odd.setPrimaryStrideInFeatureChannels(3);
        says("primaryStrideInFeatureChannels is 3 but must be 0, which repeats the operand, or 1.",
             [&] { odd.encode(commands, a, b, z); });
        CHECK(dispatchesOf(commands) == 0);
        conforms(kernel.className(), Aspect::Misuse);
    };
    check(MPS::CNNAdd(testDevice()));
    check(MPS::CNNSubtract(testDevice()));
    check(MPS::CNNMultiply(testDevice()));
    check(MPS::CNNDivide(testDevice()));
    check(MPS::NNCompare(testDevice()));
}

TEST_CASE("what arithmetic refuses") {
    const auto image = [](size_t h, size_t w, size_t c) {
        return upload(reference::random(1, h, w, c, 1));
    };
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto a = image(2, 3, 5), b = image(2, 3, 4), wide = image(2, 4, 5), z = image(2, 3, 5);
    MPS::CNNAdd add(testDevice());
    CHECK(refusal([&] { add.encodeBatch(commands, a, b, z); }) ==
          "[CNNAdd] The primary image has 5 feature channels in use, the secondary one 4: they "
          "must be equal, or one "
          "operand's stride 0 to repeat it.");
    CHECK(refusal([&] { add.encodeBatch(commands, a, wide); }) ==
          "[CNNAdd] The width of the primary image is 3, of the secondary one 4: they must be "
          "equal, or one operand's "
          "stride 0 to repeat it.");
    CHECK(
        refusal([&] { add.encodeBatch(commands, a, z, z); }) ==
        "[CNNAdd] A destination image is also a source image; the kernel does not work in place.");
    MPS::StateBatch states;
    add.encodeBatch(commands, a, z, &states, false);
    CHECK(refusal([&] {
              add.encodeBatch(commands, a, a, MPS::StateBatch{MPS::State(testDevice(), 4)}, z);
          }) ==
          "[CNNAdd] destinationState is a state of another class than CNNArithmeticGradientState.");
    CHECK(refusal([&] { MPS::NNCompare(testDevice()).encodeBatch(commands, a, a, states, z); }) ==
          "[NNCompare] destinationState was made by a CNNAdd but this kernel takes its own.");
    MPS::CNNSubtractGradient other(testDevice(), false);
    CHECK(refusal([&] { other.encodeBatch(commands, a, z, states); }) ==
          "[CNNSubtractGradient] gradientState was made by a CNNAdd but this kernel takes those of "
          "a CNNSubtract.");
    MPS::CNNAddGradient gradient(testDevice(), false);
    CHECK(refusal([&] { gradient.encodeBatch(commands, wide, a, states); }) ==
          "[CNNAddGradient] sourceGradient is 4x2 but the forward result was 3x2.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, b, a, states, z); }) ==
          "[CNNAddGradient] sourceGradient has 4 feature channels in use but the forward result "
          "had 5.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, a, image(2, 3, 5), states, b); }) ==
          "[CNNAddGradient] destinationGradient has 4 feature channels but channels 0 to 5 are "
          "needed.");
    MPS::CNNMultiplyGradient product(testDevice(), false);
    CHECK(refusal([&] { product.encodeBatch(commands, a, b, z); }) ==
          "[CNNMultiplyGradient] sourceImage has 4 feature channels in use but sourceGradient 5: "
          "they must be equal, or "
          "secondaryStrideInFeatureChannels 0.");
    add.setSecondaryStrideInPixelsY(2);
    CHECK(refusal([&] { add.encodeBatch(commands, a, image(2, 3, 5), z); }) ==
          "[CNNAdd] secondaryStrideInPixelsY is 2 but must be 0, which repeats the operand, or 1.");
    MPS::CNNSubtract subtract(testDevice());
    subtract.setLabel("s");
    subtract.setPrimaryEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { subtract.encodeBatch(commands, a, image(2, 3, 5), z); }) ==
          "[CNNSubtract \"s\"] primaryEdgeMode is Mirror but only Zero and Clamp are known to this "
          "kernel.");
    MPS::State single(testDevice(), 4);
    subtract.setPrimaryOffset({1, 2, 0});
    CHECK_FALSE(refusal([&] { subtract.encode(commands, a[0], a[0], &single, false); }).empty());
    CHECK(single.resourceSize() == 4);
    CHECK(subtract.primaryOffset() == MPS::Offset{1, 2, 0});
    MPS::NNCompare compare(testDevice());
    compare.setComparisonType(MPS::NNComparisonType(6));
    CHECK(refusal([&] { compare.encodeBatch(commands, a, image(2, 3, 5), z); }) ==
          "[NNCompare] comparisonType is 6 but types go from 0 to 5.");
}

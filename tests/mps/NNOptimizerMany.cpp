// Updates that follow each other: many small ones are one dispatch, and what they give is the same.
#include "mps/GraphPlan.hpp"
#include "mps/Matrix.hpp"
#include "mtl/Device.hpp"
#include "support/Kernels.hpp"
#include "support/Optimizers.hpp"
#include "vk/Device.hpp"

#include <mpsvk/vulkan.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr size_t largest = 256 * 1024; // elements of what shares a dispatch

/// Vectors one after the other in one buffer, and with it in one VkBuffer.
class Arena {
public:
    explicit Arena(size_t floats = 1 << 17) : buffer_(testDevice().newBuffer(floats * 4)) {
        std::ranges::fill(all(), poison);
    }
    MPS::Vector vector(size_t count, uint64_t seed, double low = -1) {
        const size_t begin = take(count);
        std::ranges::copy(random(count, seed, low), all().begin() + ptrdiff_t(begin));
        return MPS::Vector(buffer_, begin * 4,
                           MPS::VectorDescriptor(count, MPS::DataType::Float32));
    }
    MPS::Matrix matrix(const MPS::MatrixDescriptor& shape, uint64_t seed, double low = -1) {
        const size_t count = shape.matrices() * shape.matrixBytes() / 4, begin = take(count);
        const MPS::Matrix made(buffer_, begin * 4, shape);
        made.write(floatsOf(random(shape.matrices() * shape.rows() * shape.columns(), seed, low)));
        return made;
    }
    /// All of it, what lies between the vectors as well.
    std::vector<float> read() const { return {all().begin(), all().end()}; }

private:
    size_t take(size_t count) {
        end_ += count + 3; // so that few begin where a binding may
        REQUIRE(end_ <= all().size());
        return end_ - count;
    }
    std::span<float> all() const {
        const auto bytes = buffer_.contents();
        return {reinterpret_cast<float*>(bytes.data()), bytes.size() / 4};
    }
    MTL::Buffer buffer_;
    size_t end_ = 0;
};

struct Tensor {
    /// In place unless it has a result of its own.
    Tensor(Arena& arena, Rule rule, size_t count, uint64_t seed, bool inPlace = true)
        : gradient(arena.vector(count, seed)), values(arena.vector(count, seed + 1)),
          result(inPlace ? values : arena.vector(count, seed + 2)) {
        for (size_t k = 0; k < momentsOf(rule); ++k)
            moments.push_back(arena.vector(count, seed + 3 + k, 0));
    }
    MPS::Vector gradient, values, result;
    Vectors moments;
};

/// Tensors with an optimizer; two of them made alike are the same, bit for bit.
struct Net {
    explicit Net(Rule rule, size_t floats = 1 << 17)
        : rule(rule), arena(floats), both(rule, preparations()[3]) {}
    void add(size_t count, bool inPlace = true) {
        tensors.emplace_back(arena, rule, count, 10 * tensors.size(), inPlace);
    }
    void encode(const MTL::CommandBuffer& commands, const Tensor& t) {
        both.adam.setTimeStep(step);
        both.encode(commands, t.gradient, t.values, t.moments, t.result);
    }
    Rule rule;
    Arena arena;
    OptimizerPair both;
    std::vector<Tensor> tensors;
    uint64_t step = 0;
};

/// Encodes the same calls into one command buffer and into one each, and compares all memory.
/// `calls` encode on what they are given.
template <class Made> struct Twice {
    using Call = std::function<void(Made&, const MTL::CommandBuffer&)>;
    template <class... Arguments>
    explicit Twice(const Arguments&... a) : together(a...), apart(a...) {}

    Ranges operator()(const std::vector<Call>& calls) {
        Ranges ranges;
        run([&](const MTL::CommandBuffer& commands) {
            for (const Call& call : calls) call(together, commands);
            ranges = rangesOf(commands);
        });
        for (const Call& call : calls)
            run([&](const MTL::CommandBuffer& commands) { call(apart, commands); });
        CHECK(std::ranges::equal(together.arena.read(), apart.arena.read(), {},
                                 std::bit_cast<uint32_t, float>, std::bit_cast<uint32_t, float>));
        return ranges;
    }
    Made together, apart;
};
using Nets = Twice<Net>;

/// A call that updates tensor `index`.
Nets::Call update(size_t index) {
    return [index](Net& net, const MTL::CommandBuffer& commands) {
        net.encode(commands, net.tensors[index]);
    };
}

Nets netsOf(Rule rule, const std::vector<size_t>& counts, size_t floats = 1 << 17) {
    Nets nets(rule, floats);
    for (Net* net : {&nets.together, &nets.apart})
        for (const size_t count : counts) net->add(count);
    return nets;
}

} // namespace

TEST_CASE("small updates are one dispatch and give the bits of separate ones") {
    for (const Rule rule : rules) {
        INFO("rule " << int(rule));
        Nets nets(rule);
        std::vector<Nets::Call> calls;
        for (const size_t count : {1, 3, 1023, 1024, 1025, 5000, 64, 2049}) {
            for (Net* net : {&nets.together, &nets.apart}) net->add(count, count % 2 == 0);
            calls.push_back(update(calls.size()));
        }
        for (int step = 0; step < 3; ++step) {
            CHECK(nets(calls) == Ranges{8});
            for (Net* net : {&nets.together, &nets.apart}) ++net->step;
        }
        const Tensor& last = nets.together.tensors.back();
        CHECK(read(last.result) != read(last.values));
    }
}

TEST_CASE("updates are one dispatch wherever their operands lie from each other") {
    // Backwards, and those of one in between those of others.
    Nets nets = netsOf(Rule::Momentum, {100, 2000, 7, 300, 1500});
    CHECK(nets({update(4), update(2), update(0), update(3), update(1)}) == Ranges{5});
}

TEST_CASE("more tensors than a dispatch has ranges") {
    Nets nets = netsOf(Rule::Adam, std::vector<size_t>(300, 5));
    std::vector<Nets::Call> calls;
    for (size_t k = 0; k < 300; ++k) calls.push_back(update(k));
    CHECK(nets(calls) == Ranges{128, 128, 44});
}

TEST_CASE("matrices whose rows lie alike are one dispatch") {
    struct Shape {
        size_t columns, stride, matrices;
    };
    struct Matrices {
        explicit Matrices(const std::vector<Shape>& shapes) {
            for (const auto& [columns, stride, matrices] : shapes) {
                auto& made = all.emplace_back();
                for (const size_t more : {0, 1, 0, 2}) { // values, gradient, two moments
                    const size_t row = (stride + more) * 4, k = made.size();
                    made.push_back(
                        arena.matrix({7, columns, matrices, row, 7 * row, MPS::DataType::Float32},
                                     10 * columns + k, k < 2 ? -1 : 0));
                }
            }
        }
        Arena arena;
        OptimizerPair both{Rule::Adam, preparations()[3]};
        std::vector<std::vector<MPS::Matrix>> all;
    };
    const auto rangesWith = [](const std::vector<Shape>& shapes) {
        std::vector<Twice<Matrices>::Call> calls;
        for (size_t k = 0; k < shapes.size(); ++k)
            calls.push_back([k](Matrices& made, const MTL::CommandBuffer& commands) {
                const auto& m = made.all[k];
                made.both.adam.setTimeStep(4);
                made.both.encode(commands, m[1], m[0], {m[2], m[3]}, m[0]);
            });
        return Twice<Matrices>(shapes)(calls);
    };
    CHECK(rangesWith({{45, 50, 3}, {30, 50, 1}, {50, 50, 2}}) == Ranges{6});
    CHECK(rangesWith({{45, 50, 3}, {45, 51, 1}, {30, 50, 2}}) == Ranges{5, 1});
}

TEST_CASE("matrices that lie between each other's rows, or on them") {
    constexpr size_t row = 30, rows = 6;
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    const MTL::Buffer one = testDevice().newBuffer(rows * row * 4),
                      other = testDevice().newBuffer(rows * row * 4);
    std::ranges::fill(one.contents(), std::byte(0));
    const auto partOf = [](const MTL::Buffer& buffer, size_t firstRow, size_t firstColumn) {
        return MPS::Matrix(buffer, (firstRow * row + firstColumn) * 4,
                           {4, 5, row * 4, MPS::DataType::Float32});
    };
    const auto filled = [](const MPS::Matrix& matrix, float value) {
        matrix.write(std::vector<float>(20, value));
        return matrix;
    };
    const MPS::Matrix a = filled(partOf(other, 0, 0), 1), b = filled(partOf(one, 0, 15), 2),
                      left = partOf(one, 0, 5), right = partOf(one, 0, 20),
                      lower = partOf(one, 2, 5);
    run([&](const MTL::CommandBuffer& commands) {
        sgd.encode(commands, a, left, MPS::Matrix{}, left);
        sgd.encode(commands, a, lower, MPS::Matrix{}, lower); // two rows again
        CHECK(rangesOf(commands) == Ranges{1, 1});
        sgd.encode(commands, b, right, MPS::Matrix{}, right);
    });
    std::vector<float> got(20);
    right.read(got);
    CHECK(got == std::vector<float>(20, -2));
    left.read(got);
    for (size_t i = 0; i < 20; ++i) CHECK(got[i] == (i < 10 ? -1 : -2));
    lower.read(got);
    for (size_t i = 0; i < 20; ++i) CHECK(got[i] == (i < 10 ? -2 : -1));
}

TEST_CASE("optimizers that take turns have a dispatch each") {
    const auto with = [](float rate, size_t index) {
        return Nets::Call([=](Net& net, const MTL::CommandBuffer& commands) {
            net.both.sgd.setLearningRate(rate);
            net.encode(commands, net.tensors[index]);
        });
    };
    Nets nets = netsOf(Rule::Momentum, {10, 2000, 30, 40, 50});
    CHECK(nets({with(1, 0), with(2, 1), with(1, 2), with(2, 3), with(1, 4)}) == Ranges{3, 2});
    // And as many rates as updates.
    std::vector<Nets::Call> calls;
    for (size_t k = 0; k < 5; ++k) calls.push_back(with(float(k), k));
    CHECK(nets(calls) == Ranges(5, 1));

    const auto plain = [](size_t index) {
        return Nets::Call([=](Net& net, const MTL::CommandBuffer& commands) {
            const Tensor& t = net.tensors[index];
            net.both.sgd.encode(commands, t.gradient, t.values, MPS::Vector{}, t.result);
        });
    };
    Nets adams = netsOf(Rule::Adam, {10, 2000, 30, 40, 50});
    CHECK(adams({update(0), plain(1), plain(2), update(3), plain(4)}) == Ranges{2, 3});
}

TEST_CASE("updates that touch what others write stay in their order") {
    Nets nets = netsOf(Rule::Nesterov, {1000, 1000, 1000, 1000});
    CHECK(nets({update(0), update(0)}) == Ranges{1, 1});
    CHECK(nets({update(0), update(1), update(0), update(2), update(0), update(1)}) ==
          Ranges{2, 2, 2});
    using Operand = MPS::Vector& (*)(Tensor&);
    const Operand gradient = [](Tensor& t) -> MPS::Vector& { return t.gradient; };
    const Operand values = [](Tensor& t) -> MPS::Vector& { return t.values; };
    const Operand result = [](Tensor& t) -> MPS::Vector& { return t.result; };
    const Operand moment = [](Tensor& t) -> MPS::Vector& { return t.moments[0]; };
    const auto rangesWith = [](Operand ofFirst, Operand ofSecond) {
        Nets two(Rule::Momentum);
        for (Net* net : {&two.together, &two.apart}) {
            for (int k = 0; k < 2; ++k) net->add(1000, false);
            ofSecond(net->tensors[1]) = ofFirst(net->tensors[0]);
        }
        return two({update(0), update(1)});
    };
    for (const Operand written : {result, moment})
        for (const Operand other : {gradient, values, result, moment}) {
            CHECK(rangesWith(written, other) == Ranges{1, 1});
            CHECK(rangesWith(other, written) == Ranges{1, 1});
        }
    CHECK(rangesWith(gradient, gradient) == Ranges{2});
    CHECK(rangesWith(values, gradient) == Ranges{2});
}

TEST_CASE("an update does not come before another one whose result it reads") {
    const auto with = [](float rate, size_t index) {
        return Nets::Call([=](Net& net, const MTL::CommandBuffer& commands) {
            net.both.sgd.setLearningRate(rate);
            net.encode(commands, net.tensors[index]);
        });
    };
    for (const bool reads : {true, false}) {
        Nets nets = netsOf(Rule::Momentum, {1000, 1000, 1000});
        for (Net* net : {&nets.together, &nets.apart})
            if (reads) net->tensors[2].gradient = net->tensors[1].result;
        CHECK(nets({with(1, 0), with(2, 1), with(1, 2)}) ==
              (reads ? Ranges{1, 1, 1} : Ranges{2, 1}));
    }
}

TEST_CASE("nothing but updates comes between the parts of a dispatch") {
    const auto list = [](const MTL::CommandBuffer& commands) -> vk::CommandList& {
        return commands.impl().list("");
    };
    // Something that the next update reads, or nothing at all.
    const Nets::Call copy = [&](Net& net, const MTL::CommandBuffer& commands) {
        const auto slice = [](const MPS::Vector& v) { return v.impl().view().slice; };
        list(commands).copy(slice(net.tensors[0].result), slice(net.tensors[1].gradient));
    };
    const Nets::Call label = [&](Net&, const MTL::CommandBuffer& commands) {
        list(commands).label(vk::CommandList::LabelKind::Insert, "here");
    };
    const Nets::Call event = [](Net&, const MTL::CommandBuffer& commands) {
        commands.encodeSignalEvent(testDevice().newSharedEvent(), 1);
    };
    // And what only has an optimizer's name.
    const auto pipeline = testDevice().impl().vk->pipelines().make(
        "NNOptimizerRMSProp", {affineKernel().begin(), affineKernel().end()}, {});
    const Nets::Call dispatch = [&](Net&, const MTL::CommandBuffer& commands) {
        const vk::BufferSlice some = vectorOf({1, 2, 3}).impl().view().slice;
        vk::Binding both[] = {vk::Binding::buffer(1, some), vk::Binding::buffer(2, some)};
        list(commands).dispatch(pipeline, both, bytesOf(AffineParameters{2, 1, 3}), {1, 1, 1});
    };
    for (const Nets::Call& between : {copy, label, event, dispatch}) {
        Nets nets = netsOf(Rule::RMSProp, {500, 500, 500});
        CHECK(nets({update(0), between, update(1), update(2)}) == Ranges{1, 2});
    }
}

TEST_CASE("operands in several VkBuffers have a dispatch for each of these") {
    Nets nets = netsOf(Rule::Momentum, {500, 500, 500, 500});
    for (Net* net : {&nets.together, &nets.apart}) {
        const MTL::Buffer large = testDevice().newBuffer(9 << 20);
        for (const size_t k : {1, 3}) {
            const MPS::Vector moved(large, k * 4000,
                                    MPS::VectorDescriptor(500, MPS::DataType::Float32));
            moved.write(floatsOf(random(500, k, 0)));
            net->tensors[k].moments[0] = moved;
        }
    }
    const std::vector<Nets::Call> calls{update(0), update(1), update(2), update(3)};
    CHECK(nets(calls) == Ranges{2, 2});
    CHECK(nets(calls) == Ranges{2, 2}); // by which the moments show
}

TEST_CASE("a large tensor among small ones has a dispatch of its own, before theirs") {
    const std::vector<size_t> counts{10, largest + 1, largest, 2 * largest, 20, largest + 5, 30};
    Nets nets = netsOf(Rule::Plain, counts, 4 << 20);
    std::vector<Nets::Call> calls;
    for (size_t k = 0; k < counts.size(); ++k) calls.push_back(update(k));
    CHECK(nets(calls) == Ranges{1, 1, 1, 4});
    CHECK(nets({update(1), update(1), update(0)}) == Ranges{1, 1, 1});
    // Not where it reads what one of them writes.
    for (Net* net : {&nets.together, &nets.apart})
        net->tensors[4].result =
            MPS::Vector(net->tensors[1].gradient.data(), net->tensors[1].gradient.offset() + 400,
                        MPS::VectorDescriptor(20, MPS::DataType::Float32));
    CHECK(nets({update(0), update(4), update(1), update(6)}) == Ranges{2, 1, 1});
}

TEST_CASE("what a shared dispatch writes is pending, and what it reads is kept") {
    OptimizerPair both(Rule::Momentum, preparations()[0]);
    const MPS::Vector first = vectorOf(random(100, 1)), second = vectorOf(random(100, 2));
    const Vectors moments{vectorOf(Values(100, 0)), vectorOf(Values(100, 0))};
    const auto expected = [&](const MPS::Vector& vector) {
        Values w = read(vector);
        std::vector<Values> m{Values(100, 0)};
        both.step(random(100, 3), w, m);
        return w;
    };
    const Values firstExpected = expected(first), secondExpected = expected(second);
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    std::weak_ptr<vk::Buffer> gradient;
    {
        const MPS::Vector lost = vectorOf(random(100, 3)), other = vectorOf(random(100, 3));
        both.encode(commands, other, first, {moments[0]}, first);
        both.encode(commands, lost, second, {moments[1]}, second);
        gradient = lost.impl().view().slice.buffer;
    }
    CHECK(rangesOf(commands) == Ranges{2});
    CHECK_FALSE(gradient.expired());
    for (const MPS::Vector& vector : {first, second, moments[0], moments[1]})
        CHECK(refused([&] { (void)read(vector); }).find("command buffer") != std::string::npos);
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(reference::compare(read(first), firstExpected, tight));
    CHECK(reference::compare(read(second), secondExpected, tight));
}

TEST_CASE("while a plan is recorded updates stay where they are") {
    Net net(Rule::Plain, 1 << 20);
    for (const size_t count : {10, 20, 300000}) net.add(count);
    const MTL::CommandBuffer commands = mps::recordingCommandBuffer(testDevice());
    for (const Tensor& tensor : net.tensors) net.encode(commands, tensor);
    CHECK(rangesOf(commands) == Ranges{1, 1, 1});
    const auto& last = commands.impl().segments.back()->commands.commands().back();
    CHECK(last.groups[0] == (300000 + 1023) / 1024);
}

TEST_CASE("updates of one memory by two buffers keep their order") {
    // The second buffer is the first one's VkBuffer, given back by the program.
    const auto updated = [](bool apart) {
        constexpr size_t count = 64;
        std::vector<MPS::Vector> v;
        for (uint64_t seed = 1; seed <= 7; ++seed) v.push_back(vectorOf(random(count, seed, 0)));
        const auto inside = vulkan::handle(v[2].data());
        const MTL::Buffer wrapped = vulkan::wrapBuffer(
            testDevice(), inside.buffer, inside.offset + count * sizeof(float), nullptr);
        const MPS::Vector same(wrapped, inside.offset,
                               MPS::VectorDescriptor(count, MPS::DataType::Float32));
        MPS::NNOptimizerStochasticGradientDescent descent(testDevice(), 0.5f);
        MPS::NNOptimizerAdam adam(testDevice(), 0.1f);
        const auto once = [&](const MTL::CommandBuffer& commands, int k) {
            if (k == 0) descent.encode(commands, v[0], v[1], {}, v[1]);
            if (k == 1) adam.encode(commands, v[3], v[2], v[4], v[5], v[2]);
            if (k == 2) descent.encode(commands, same, v[6], {}, v[6]);
        };
        if (apart)
            for (int k = 0; k < 3; ++k)
                run([&](const MTL::CommandBuffer& commands) { once(commands, k); });
        else
            run([&](const MTL::CommandBuffer& commands) {
                for (int k = 0; k < 3; ++k) once(commands, k);
            });
        return read(v[6]);
    };
    CHECK(updated(false) == updated(true));
}

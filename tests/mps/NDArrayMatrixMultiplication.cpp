#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/NDArrayMatrixMultiplication.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

MPS::NDArrayMatrixMultiplication product(uint64_t sources, double alpha = 1, double beta = 1) {
    MPS::NDArrayMatrixMultiplication kernel(testDevice(), sources);
    kernel.setAlpha(alpha);
    kernel.setBeta(beta);
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    return kernel;
}

[[maybe_unused]] const bool named = everyOther([] { return product(3, 0.5, 2); });

/// Of four dimensions; those of length 1 serve for all.
double valueAt(const NDValues& x, const Lengths& at) {
    Lengths from;
    for (size_t d = 0; d < x.lengths.size(); ++d)
        from.push_back(d >= 2 && x.lengths[d] == 1 ? 0 : at[d]);
    return x[from];
}

struct Expected {
    NDValues values, sizes; ///< and the sums of the terms' magnitudes
};

Expected expectedProduct(const NDValues& a, const NDValues& b, const NDValues* c, double alpha,
                         double beta) {
    Lengths lengths{b.lengths[0], a.lengths[1], 1, 1};
    for (const NDValues* x : {&a, &b, c})
        for (size_t d = 2; x && d < x->lengths.size(); ++d)
            lengths[d] = std::max(lengths[d], x->lengths[d]);
    Expected made{NDValues(lengths), NDValues(lengths)};
    made.values.forEach([&](const Lengths& at) {
        double sum = 0, size = 0;
        for (uint64_t k = 0; k < a.lengths[0]; ++k) {
            const double term =
                valueAt(a, {k, at[1], at[2], at[3]}) * valueAt(b, {at[0], k, at[2], at[3]});
            sum += term;
            size += std::abs(term);
        }
        const double added = c ? beta * valueAt(*c, at) : 0;
        made.values[at] = alpha * sum + added;
        made.sizes[at] = std::abs(alpha) * size + std::abs(added);
    });
    return made;
}

bool agrees(const NDValues& given, const Expected& expected, DataType type) {
    const double tolerance = type == DataType::Float16 ? 4e-3 : 1e-5;
    if (given.v.size() != expected.values.v.size()) return false;
    for (size_t i = 0; i < given.v.size(); ++i)
        if (!(std::abs(given.v[i] - expected.values.v[i]) <= tolerance * expected.sizes.v[i]))
            return false;
    return true;
}

/// As a view of an array whose dimensions 0 and 1 lie the other way around.
MPS::NDArray storedTransposed(const NDValues& values, DataType type) {
    const MPS::NDArray array = arrayOf(values.transposed(0, 1), type);
    auto d = array.descriptor();
    d.transposeDimension(0, 1);
    return array.arrayView(d);
}

/// As a view with a stride in both of the matrix's dimensions.
MPS::NDArray storedApart(const NDValues& values, DataType type) {
    const Lengths& l = values.lengths;
    const MPS::NDArray array(testDevice(), descriptorOf({2 * l[0], 3 * l[1], l[2], l[3]}, type));
    const uint64_t row = array.resourceSize() / array.dataTypeSize() / (3 * l[1] * l[2] * l[3]);
    const MPS::NDArray view =
        array.arrayView(4, l, Lengths{2, 3 * row, 3 * l[1] * row, 3 * l[1] * l[2] * row});
    writeTo(view, values);
    return view;
}

using Store = MPS::NDArray (*)(const NDValues&, DataType);
MPS::NDArray storedPlain(const NDValues& values, DataType type) { return arrayOf(values, type); }

} // namespace

TEST_CASE("products of arrays' matrices, batches broadcast") {
    struct Case {
        Lengths a, b, c;
    };
    const Case cases[] = {
        {{4, 3, 1, 1}, {5, 4, 1, 1}, {}},
        {{33, 7, 3, 1}, {18, 33, 3, 1}, {18, 7, 3, 1}},
        {{9, 6, 3, 2}, {10, 9, 3, 2}, {10, 6, 3, 2}},
        {{9, 6, 1, 2}, {10, 9, 3, 1}, {10, 6, 1, 1}},
        {{9, 6, 3, 1}, {10, 9, 1, 1}, {10, 6, 1, 2}},
        {{1, 6, 2, 2}, {10, 1, 1, 2}, {10, 6, 2, 1}},
        {{70, 1, 1, 1}, {1, 70, 1, 4}, {1, 1, 1, 4}},
        {{80, 130, 1, 1}, {70, 80, 2, 1}, {}},
    };
    for (const Case& c : cases)
        for (const DataType type : {DataType::Float32, DataType::Float16}) {
            const NDValues a = NDValues::random(c.a, 1, type), b = NDValues::random(c.b, 2, type);
            const NDValues added = NDValues::random(c.c.empty() ? Lengths{1} : c.c, 3, type);
            const bool adds = !c.c.empty();
            auto kernel = product(adds ? 3 : 2, 0.75, adds ? -2 : 1);
            std::vector<MPS::NDArray> sources{arrayOf(a, type), arrayOf(b, type)};
            if (adds) sources.push_back(arrayOf(added, type));
            MPS::NDArray d, again;
            run([&](const MTL::CommandBuffer& commands) {
                d = kernel.encode(commands, sources);
                again = kernel.encode(commands, sources);
            });
            const auto expected = expectedProduct(a, b, adds ? &added : nullptr, 0.75, -2);
            CHECK(lengthsOf(d) == expected.values.lengths);
            CHECK(agrees(valuesIn(d), expected, type));
            CHECK(valuesIn(again).v == valuesIn(d).v);
        }
    conforms("NDArrayMatrixMultiplication", Aspect::Forward);
    conforms("NDArrayMatrixMultiplication", Aspect::Half);
}

TEST_CASE("products of views, and into views") {
    const NDValues a = NDValues::random({12, 9, 2, 3}, 4, DataType::Float16);
    const NDValues b = NDValues::random({10, 12, 2, 1}, 5, DataType::Float16);
    const NDValues c = NDValues::random({10, 9, 1, 3}, 6, DataType::Float16);
    const auto expected = expectedProduct(a, b, &c, 1, 0.5);
    const Store stores[] = {storedPlain, storedTransposed, storedApart};
    for (const DataType type : {DataType::Float32, DataType::Float16})
        for (const Store storeA : stores)
            for (const Store storeB : stores)
                for (const Store storeD : stores) {
                    auto kernel = product(3, 1, 0.5);
                    const MPS::NDArray d = storeD(NDValues({10, 9, 2, 3}, 77), type);
                    run([&](const MTL::CommandBuffer& commands) {
                        kernel.encode(commands, {storeA(a, type), storeB(b, type), storeA(c, type)},
                                      d);
                    });
                    CHECK(agrees(valuesIn(d), expected, type));
                }
}

TEST_CASE("operands of products may be of different types") {
    const DataType both[] = {DataType::Float32, DataType::Float16};
    const NDValues a = NDValues::random({12, 9, 2, 1}, 4, DataType::Float16);
    const NDValues b = NDValues::random({10, 12, 2, 1}, 5, DataType::Float16);
    for (const DataType typeA : both)
        for (const DataType typeC : both)
            for (const DataType typeD : both) {
                const NDValues c = NDValues::random({10, 9, 2, 1}, 6, typeC);
                auto kernel = product(3, 2, -1);
                const MPS::NDArray d(testDevice(), descriptorOf({10, 9, 2, 1}, typeD));
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encode(
                        commands,
                        {arrayOf(a, typeA), arrayOf(b, DataType::Float16), arrayOf(c, typeC)}, d);
                });
                CHECK(agrees(valuesIn(d), expectedProduct(a, b, &c, 2, -1), typeD));
            }
}

TEST_CASE("gradients of a product are products of transposed views") {
    const NDValues a = NDValues::random({5, 4, 2, 1}, 7, DataType::Float32);
    const NDValues b = NDValues::random({3, 5, 2, 1}, 8, DataType::Float32);
    const NDValues g = NDValues::random({3, 4, 2, 1}, 9, DataType::Float32);
    const auto transposed = [](const NDValues& values) {
        const MPS::NDArray array = arrayOf(values);
        auto d = array.descriptor();
        d.transposeDimension(0, 1);
        return array.arrayView(d);
    };
    auto kernel = product(2, 0.5);
    MPS::NDArray da, db;
    run([&](const MTL::CommandBuffer& commands) {
        da = kernel.encode(commands, {arrayOf(g), transposed(b)});
        db = kernel.encode(commands, {transposed(a), arrayOf(g)});
    });
    const auto loss = [&](const NDValues& left, const NDValues& right) {
        const NDValues y = expectedProduct(left, right, nullptr, 0.5, 0).values;
        return std::inner_product(y.v.begin(), y.v.end(), g.v.begin(), 0.0);
    };
    const NDValues dav = valuesIn(da), dbv = valuesIn(db);
    for (size_t i = 0; i < a.v.size(); ++i) {
        NDValues more = a, less = a;
        more.v[i] += 0.5;
        less.v[i] -= 0.5;
        CHECK(std::abs(loss(more, b) - loss(less, b) - dav.v[i]) < 1e-5);
    }
    for (size_t i = 0; i < b.v.size(); ++i) {
        NDValues more = b, less = b;
        more.v[i] += 0.5;
        less.v[i] -= 0.5;
        CHECK(std::abs(loss(a, more) - loss(a, less) - dbv.v[i]) < 1e-5);
    }
}

TEST_CASE("with beta 0 what would be added does not count") {
    const NDValues a = NDValues::random({4, 3}, 1, DataType::Float32);
    const NDValues b = NDValues::random({5, 4}, 2, DataType::Float32);
    const MPS::NDArray c = arrayOf(NDValues({5, 3}, std::numeric_limits<double>::quiet_NaN()));
    auto kernel = product(3, 1, 0);
    CHECK(kernel.alpha() == 1);
    CHECK(kernel.beta() == 0);
    MPS::NDArray d;
    run([&](const MTL::CommandBuffer& commands) {
        d = kernel.encode(commands, {arrayOf(a), arrayOf(b), c});
    });
    CHECK(d.numberOfDimensions() == 2);
    const NDValues a4(Lengths{4, 3, 1, 1}, a.v), b4(Lengths{5, 4, 1, 1}, b.v);
    CHECK(agrees(valuesIn(d), expectedProduct(a4, b4, nullptr, 1, 0), DataType::Float32));
}

TEST_CASE("products of arrays that do not fit are refused") {
    CHECK(refusal([] { MPS::NDArrayMatrixMultiplication(testDevice(), 4); }) ==
          "[NDArrayMatrixMultiplication] sourceCount is 4 but must be 2, or 3 with a matrix to "
          "add.");
    const auto empty = [](const Lengths& lengths, DataType type = DataType::Float32) {
        return MPS::NDArray(testDevice(), descriptorOf(lengths, type));
    };
    auto kernel = product(2), adding = product(3);
    kernel.setLabel("p");
    const std::string who = "[NDArrayMatrixMultiplication \"p\"] ";
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3}), empty({5, 3})});
              }) ==
              who +
                  "sourceArrays[0] is 3x4 with 4 columns but sourceArrays[1] is 3x5 with 3 rows.");
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3, 2}), empty({5, 4, 3})});
              }) ==
              who + "sourceArrays[1] is 3x4x5, of length 3 in dimension 2, but another source's is "
                    "2.");
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3, 1, 1, 2}), empty({5, 4})});
              }) == who + "sourceArrays[0] is 2x1x1x3x4 but matrices are counted along dimensions "
                          "2 and 3 alone.");
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3}), empty({5, 4}, DataType::Int32)});
              }) == who + "sourceArrays[1] has the dataType 536870944 but must be Float32 or "
                          "Float16.");
        CHECK(refusal([&] {
                  adding.encode(commands, {empty({4, 3}), empty({5, 4}), empty({5, 4})});
              }) == "[NDArrayMatrixMultiplication] sourceArrays[2] is 4x5 but the products are "
                    "3x5.");
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3}), empty({5, 4})},
                                empty({5, 3}, DataType::Int32));
              }) == who + "destinationArray is 3x5 of the dataType 536870944 but the result is 3x5 "
                          "of the dataType 268435488.");
        const MPS::NDArray repeated = empty({5, 3}).arrayView({3, 5}, {0, 1});
        CHECK(refusal([&] {
                  kernel.encode(commands, {empty({4, 3}), empty({5, 4})}, repeated);
              }) ==
              who + "destinationArray is a view with strides that let elements share memory.");
    });
    conforms("NDArrayMatrixMultiplication", Aspect::Misuse);
}

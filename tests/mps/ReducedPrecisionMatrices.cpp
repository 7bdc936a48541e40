// Products of matrices and arrays with KernelOptions::AllowReducedPrecision.
#include "mps/ReducedPrecision.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/MatrixFullyConnected.hpp>
#include <mpsvk/MPS/MatrixMultiplication.hpp>
#include <mpsvk/MPS/NDArrayMatrixMultiplication.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using namespace mpsvk::test::reduced;

namespace {

const auto single = MPS::DataType::Float32, half = MPS::DataType::Float16;

/// A product's sizes, and its operands in row order.
struct Product {
    size_t rows, columns, interior, batch = 1;
    bool left = false, right = false; ///< transposed
    MPS::DataType rightType = single;

    Values a() const { return randomValues(batch * rows * interior, 1, single); }
    Values b() const { return randomValues(batch * interior * columns, 2, rightType); }
    Values c() const { return randomValues(batch * rows * columns, 3, single); }
    MPS::Matrix matrixA() const {
        return left ? matrixOf(a(), interior, rows, single, 4, batch)
                    : matrixOf(a(), rows, interior, single, 4, batch);
    }
    MPS::Matrix matrixB() const {
        return right ? matrixOf(b(), columns, interior, rightType, 8, batch)
                     : matrixOf(b(), interior, columns, rightType, 8, batch);
    }
    MPS::Matrix matrixC() const { return matrixOf(c(), rows, columns, single, 0, batch); }
    /// alpha * a * b + beta * c.
    Values expected(double alpha, double beta) const {
        const Values a = this->a(), b = this->b();
        Values made = c();
        for (size_t i = 0; i < made.size(); ++i) {
            const size_t m = i / columns / rows, y = i / columns % rows, x = i % columns;
            double sum = 0;
            for (size_t k = 0; k < interior; ++k)
                sum += a[m * rows * interior + (left ? k * rows + y : y * interior + k)] *
                       b[m * interior * columns + (right ? x * interior + k : k * columns + x)];
            made[i] = alpha * sum + beta * made[i];
        }
        return made;
    }
};

/// `kernel.encode` or the like, into a new result.
template <class Kernel, class Encode>
void checkProduct(const char* what, const Product& p, Kernel kernel, Encode encode,
                  double alpha = 1, double beta = 0) {
    const auto product = [&](MPS::KernelOptions options) {
        kernel.setOptions(options);
        const MPS::Matrix a = p.matrixA(), b = p.matrixB(), result = p.matrixC();
        run([&](const MTL::CommandBuffer& commands) { encode(kernel, commands, a, b, result); });
        return valuesOf(result);
    };
    check(what, product, [&] { return p.expected(alpha, beta); });
}

constexpr auto encodeProduct = [](auto& kernel, const auto& commands, const auto& a, const auto& b,
                                  const auto& result) { kernel.encode(commands, a, b, result); };

} // namespace

TEST_CASE("products of matrices in reduced precision") {
    for (const auto type : {single, half})
        for (const bool left : {false, true})
            for (const bool right : {false, true}) {
                INFO("transposed " << left << right << ", half " << (type == half));
                const Product p{136, 204, 1032, 2, left, right, type};
                checkProduct("product", p,
                             MPS::MatrixMultiplication(testDevice(), left, right, p.rows, p.columns,
                                                       p.interior, 2, 0.5),
                             encodeProduct, 2, 0.5);
            }
    checkProduct("long product", {64, 96, 4096},
                 MPS::MatrixMultiplication(testDevice(), 64, 96, 4096), encodeProduct);
}

TEST_CASE("fully connected layers on matrices in reduced precision") {
    checkProduct(
        "forward", {68, 132, 512}, MPS::MatrixFullyConnected(testDevice()),
        [](auto& kernel, const auto& commands, const auto& x, const auto& weights,
           const auto& result) { kernel.encode(commands, x, weights, MPS::Vector(), result); });
    checkProduct("data gradient", {.rows = 68, .columns = 132, .interior = 512, .right = true},
                 MPS::MatrixFullyConnectedGradient(testDevice()),
                 [](auto& kernel, const auto& commands, const auto& gradient, const auto& weights,
                    const auto& result) {
                     kernel.encodeGradientForData(commands, gradient, weights, result);
                 });
    checkProduct("weights gradient", {.rows = 68, .columns = 132, .interior = 512, .left = true},
                 MPS::MatrixFullyConnectedGradient(testDevice()),
                 [](auto& kernel, const auto& commands, const auto& x, const auto& gradient,
                    const auto& result) {
                     kernel.encodeGradientForWeightsAndBias(commands, gradient, x, result,
                                                            MPS::Vector());
                 });
}

TEST_CASE("products of arrays in reduced precision") {
    const Product p{72, 100, 264};
    MPS::NDArrayMatrixMultiplication kernel(testDevice(), 2);
    kernel.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    const auto product = [&](MPS::KernelOptions options) {
        kernel.setOptions(options);
        MPS::NDArray result;
        run([&](const MTL::CommandBuffer& commands) {
            result = kernel.encode(commands, {arrayOf({{p.interior, p.rows}, p.a()}),
                                              arrayOf({{p.columns, p.interior}, p.b()})});
        });
        return valuesIn(result).v;
    };
    check("product", product, [&] { return p.expected(1, 0); });
}

#include <mpsvk/MPS/MatrixBatchNormalization.hpp>

#include "MatrixBatchNormalization.h"
#include "mps/Archive.hpp"
#include "mps/MatrixColumnSums.hpp"
#include "mps/MatrixNeuron.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>

namespace mpsvk::MPS {

namespace {

using mps::ColumnSums;
using mps::MatrixOperand;

/// More rows than these are split, so that more than one workgroup has the same columns.
constexpr uint64_t mostWholeRows = 1024;
/// Invocations side by side where rows are not split.
constexpr uint32_t wholeLanes = 8;

/// The operands of an encode, forward or backward.
struct Pass {
    mps::MatrixOperands& operands;
    const NNNeuronDescriptor& neuron;
    MatrixOperand source, result, mean, variance, gamma, beta;
    MatrixOperand gradient, gradientGamma, gradientBeta; ///< perhaps none
    uint64_t columns = 0;
    glsl::MatrixBatchNormalizationParameters p{};

    MatrixOperand vector(const char* role, const Vector& given, bool forAll = true) {
        const MatrixOperand made =
            forAll ? operands.takeForAll(role, given) : operands.take(role, given, {});
        operands.checkHolds(made, 1, columns);
        return made.cut(1, columns);
    }

    /// Once the matrices are there: their sizes, and the vectors that both passes have.
    void begin(uint64_t rows, uint64_t across, float epsilon) {
        mps::checkNeuron(operands.who(), neuron);
        if (!(epsilon >= 0))
            throw InvalidArgument(operands.who() + "epsilon is " + std::to_string(epsilon) +
                                  " but must be at least 0.");
        columns = across;
        operands.checkHolds(result, rows, columns);
        for (MatrixOperand* operand : {&source, &gradient, &result}) {
            if (!operand->storage) continue;
            operands.checkApartOrSame(result, *operand);
            *operand = operand->cut(rows, columns);
        }
        p.epsilon = epsilon;
        mps::setNeuron(p, neuron);
    }

    /// Memory that is written is none of what is read or written otherwise.
    void checkApart(std::initializer_list<const MatrixOperand*> written) {
        const MatrixOperand* const all[] = {&source, &gradient, &mean,          &variance,
                                            &gamma,  &beta,     &gradientGamma, &gradientBeta};
        for (const MatrixOperand* one : written)
            for (const MatrixOperand* other : all)
                if (one->storage && other->storage && one != other)
                    operands.checkApart(*one, *other);
    }

    void finish() {
        mps::checkBatch(operands);
        p.source = source.view;
        p.result = result.view;
        p.mean = mean.view;
        p.variance = variance.view;
        p.gamma = gamma.view;
        p.beta = beta.view;
        p.gradient = gradient.view;
        p.gradientGamma = gradientGamma.view;
        p.gradientBeta = gradientBeta.view;
        p.matrices = uint32_t(operands.batch());
    }

    void dispatch(const char* shader, uint32_t work, const mps::Grid& grid,
                  const MatrixOperand& first, const MatrixOperand& second, bool isFrozen) {
        p.first = first.view;
        p.second = second.view;
        operands.encoder().dispatch(
            shader, p, grid,
            {{1, source.slice},
             {2, result.slice},
             {3, mean.slice},
             {4, variance.slice},
             {5, gamma.slice},
             {6, beta.slice},
             {7, first.slice},
             {8, second.slice},
             {9, gradient.slice},
             {10, gradientGamma.slice},
             {11, gradientBeta.slice}},
            {mps::constant(1, source.typeConstant()), mps::constant(2, result.typeConstant()),
             mps::constant(3, mean.typeConstant()), mps::constant(4, variance.typeConstant()),
             mps::constant(5, gamma.typeConstant()), mps::constant(6, beta.typeConstant()),
             mps::constant(7, first.typeConstant()), mps::constant(8, second.typeConstant()),
             mps::constant(9, gradient.typeConstant()),
             mps::constant(10, gradientGamma.typeConstant()),
             mps::constant(11, gradientBeta.typeConstant()),
             mps::constant(32, uint32_t(neuron.neuronType())),
             mps::constant(33, uint32_t(bool(gamma.storage))),
             mps::constant(34, uint32_t(bool(beta.storage))), mps::constant(35, work),
             mps::constant(36, uint32_t(isFrozen)),
             mps::constant(37, uint32_t(bool(gradientGamma.storage))),
             mps::constant(38, uint32_t(bool(gradientBeta.storage)))});
    }

    /// One workgroup for all rows of its columns.
    void dispatchWhole(const char* shader, bool isFrozen = false) {
        p.lanes = std::min(wholeLanes, std::bit_ceil(uint32_t((columns + 3) / 4)));
        p.splitRows = uint32_t(source.rows());
        const uint64_t across = vk::divideUp(columns, 4 * p.lanes);
        dispatch(shader, glsl::normalizationWhole, {across * 256, 1, p.matrices}, {}, {}, isFrozen);
    }

    /// For dispatches that split the rows.
    template <class Split> Split split() {
        Split made(operands.encoder(), source.rows(), columns, p.matrices);
        p.lanes = made.lanes;
        p.splitRows = made.splitRows;
        return made;
    }

    /// The sums in fp32, a row for each matrix: in `wanted`, or in memory that is freed with
    /// `memory`.
    MatrixOperand totals(ColumnSums& sums, const MatrixOperand& wanted, bool overMatrices,
                         std::shared_ptr<const vk::BufferSlice>& memory) {
        if (wanted.storage && wanted.dataType == DataType::Float32 &&
            (p.matrices == 1 || !overMatrices))
            return wanted;
        MatrixOperand made = sums.parts.cut(1, columns);
        made.view.matrixStride = made.view.rowStride;
        memory = operands.encoder().scratch(uint64_t(p.matrices) * made.view.matrixStride *
                                            sizeof(float));
        made.slice = *memory;
        sums.addUp(made, false);
        return made;
    }
};

} // namespace

void MatrixBatchNormalizationProperties::archive(mps::Archive& archive) {
    archive("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_);
    archive("sourceInputFeatureChannels", sourceInputFeatureChannels_);
    archive("epsilon", epsilon_);
    archive("neuron", neuron_);
}

void MatrixBatchNormalization::archive(mps::Archive& archive) {
    MatrixUnaryKernel::archive(archive);
    MatrixBatchNormalizationProperties::archive(archive);
    archive("computeStatistics", computeStatistics_);
}

void MatrixBatchNormalization::encode(const MTL::CommandBuffer& commandBuffer,
                                      const Matrix& inputMatrix, const Vector& meanVector,
                                      const Vector& varianceVector, const Vector& gammaVector,
                                      const Vector& betaVector, const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    Pass pass{operands, neuron_};
    pass.source = operands.take("inputMatrix", inputMatrix, sourceMatrixOrigin());
    pass.result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin());
    pass.begin(operands.extent("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_,
                               pass.source.rows()),
               operands.extent("sourceInputFeatureChannels", sourceInputFeatureChannels_,
                               pass.source.columns()),
               epsilon_);
    pass.mean = pass.vector("meanVector", meanVector, !computeStatistics_);
    pass.variance = pass.vector("varianceVector", varianceVector, !computeStatistics_);
    if (gammaVector) pass.gamma = pass.vector("gammaVector", gammaVector);
    if (betaVector) pass.beta = pass.vector("betaVector", betaVector);
    for (const MatrixOperand* vector : {&pass.mean, &pass.variance, &pass.gamma, &pass.beta})
        if (vector->storage) operands.checkApart(pass.result, *vector);
    if (computeStatistics_) pass.checkApart({&pass.mean, &pass.variance});
    pass.finish();
    if (operands.batch() == 0) return;

    const char* const shader = "MatrixBatchNormalization";
    if (computeStatistics_ && pass.source.rows() <= mostWholeRows) {
        pass.dispatchWhole(shader);
    } else if (computeStatistics_) {
        const auto means = pass.split<ColumnSums>(), squares = pass.split<ColumnSums>();
        pass.dispatch(shader, glsl::normalizationPart, means.grid, means.parts, squares.parts,
                      false);
        pass.dispatch(shader, glsl::normalizationMerge, {means.grid.x, 1, pass.p.matrices},
                      means.parts, squares.parts, false);
        pass.dispatch(shader, glsl::normalizationResult, means.grid, {}, {}, false);
    } else {
        pass.dispatch(shader, glsl::normalizationResult, pass.split<mps::RowSplit>().grid, {}, {},
                      false);
    }
    const MatrixOperand none;
    mps::MatrixOperands::markRead({&pass.source, &pass.gamma, &pass.beta,
                                   computeStatistics_ ? &none : &pass.mean,
                                   computeStatistics_ ? &none : &pass.variance});
}

void MatrixBatchNormalizationGradient::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    MatrixBatchNormalizationProperties::archive(archive);
    archive("statisticsAreConstant", statisticsAreConstant_);
}

void MatrixBatchNormalizationGradient::encode(
    const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
    const Matrix& inputMatrix, const Vector& meanVector, const Vector& varianceVector,
    const Vector& gammaVector, const Vector& betaVector, const Matrix& resultGradientForDataMatrix,
    const Vector& resultGradientForGammaVector, const Vector& resultGradientForBetaVector) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    Pass pass{operands, neuron_};
    pass.gradient = operands.take("gradientMatrix", gradientMatrix, primarySourceMatrixOrigin());
    pass.source = operands.take("inputMatrix", inputMatrix, secondarySourceMatrixOrigin());
    pass.result = operands.take("resultGradientForDataMatrix", resultGradientForDataMatrix,
                                resultMatrixOrigin());
    pass.begin(operands.extent("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_,
                               std::min(pass.source.rows(), pass.gradient.rows())),
               operands.extent("sourceInputFeatureChannels", sourceInputFeatureChannels_,
                               std::min(pass.source.columns(), pass.gradient.columns())),
               epsilon_);
    pass.mean = pass.vector("meanVector", meanVector);
    pass.variance = pass.vector("varianceVector", varianceVector);
    if (gammaVector) pass.gamma = pass.vector("gammaVector", gammaVector);
    if (betaVector) pass.beta = pass.vector("betaVector", betaVector);
    const bool wantsGamma = bool(resultGradientForGammaVector),
               wantsBeta = bool(resultGradientForBetaVector);
    if (wantsGamma)
        pass.gradientGamma =
            pass.vector("resultGradientForGammaVector", resultGradientForGammaVector);
    if (wantsBeta)
        pass.gradientBeta = pass.vector("resultGradientForBetaVector", resultGradientForBetaVector);
    for (const MatrixOperand* vector : {&pass.mean, &pass.variance, &pass.gamma, &pass.beta,
                                        &pass.gradientGamma, &pass.gradientBeta})
        if (vector->storage) operands.checkApart(pass.result, *vector);
    pass.checkApart({&pass.gradientGamma, &pass.gradientBeta});
    pass.finish();
    if (operands.batch() == 0) return;

    const char* const shader = "MatrixBatchNormalizationGradient";
    const bool sumsGamma = wantsGamma && resultGradientForGammaVector.vectors() == 1,
               sumsBeta = wantsBeta && resultGradientForBetaVector.vectors() == 1;
    if (statisticsAreConstant_ && !wantsGamma && !wantsBeta) {
        pass.dispatch(shader, glsl::normalizationResult, pass.split<mps::RowSplit>().grid, {}, {},
                      true);
    } else if (pass.source.rows() <= mostWholeRows &&
               (operands.batch() == 1 || (!sumsGamma && !sumsBeta))) {
        pass.dispatchWhole(shader, statisticsAreConstant_);
    } else {
        auto gamma = pass.split<ColumnSums>(), beta = pass.split<ColumnSums>();
        pass.dispatch(shader, glsl::normalizationPart, gamma.grid, gamma.parts, beta.parts, false);
        if (wantsGamma) gamma.addUp(pass.gradientGamma, sumsGamma);
        if (wantsBeta) beta.addUp(pass.gradientBeta, sumsBeta);
        std::shared_ptr<const vk::BufferSlice> memory[2];
        MatrixOperand first, second;
        if (!statisticsAreConstant_) {
            first = pass.totals(gamma, pass.gradientGamma, sumsGamma, memory[0]);
            second = pass.totals(beta, pass.gradientBeta, sumsBeta, memory[1]);
        }
        pass.dispatch(shader, glsl::normalizationResult, gamma.grid, first, second,
                      statisticsAreConstant_);
    }
    mps::MatrixOperands::markRead(
        {&pass.gradient, &pass.source, &pass.mean, &pass.variance, &pass.gamma, &pass.beta});
}

} // namespace mpsvk::MPS

// What the kernels on matrices have in common: operands cut to their origins and batch ranges, and
// the checks of an encode. Each check throws InvalidArgument with a sentence that begins with
// `who`.
#pragma once

#include "mps/Encoder.hpp"
#include "mps/Matrix.hpp"

#include <array>

namespace mpsvk::mps {

/// The part of a matrix or a vector that an encode may touch, as shaders bind it.
struct MatrixOperand {
    vk::BufferSlice slice;   ///< begins at a multiple of 16 bytes
    glsl::MatrixView view{}; ///< rows and columns: all from the origin on
    MPS::DataType dataType = MPS::DataType::Float32;
    uint64_t matrices = 0; ///< from batchStart on
    ArrayStorage* storage = nullptr;
    const char* role = "";
    const ImageRun* images = nullptr; ///< bound in place of the slice, with its elements' type

    /// As shaders bind it.
    Operand bound(uint32_t number) const {
        return images ? Operand(number, *images) : Operand(number, slice);
    }
    uint64_t rows() const { return view.rows; }
    uint64_t columns() const { return view.columns; }
    /// The value of the operand's constant in glsl/matrix.glsl.
    uint32_t typeConstant() const { return dataType == MPS::DataType::Float16 ? 1 : 0; }
    /// Halves whose rows are whole groups of eight at multiples of 16 bytes.
    bool isInEights() const {
        return dataType == MPS::DataType::Float16 &&
               (view.offset | view.rowStride | view.matrixStride | view.columns) % 8 == 0;
    }
    /// The same, no larger than this.
    MatrixOperand cut(uint64_t rows, uint64_t columns) const;
    /// Each row begins where the one before it ends.
    bool isGapless() const { return view.rows == 1 || view.rowStride == view.columns; }
    /// A gapless operand with all its rows in one; `batch` matrices are in use.
    MatrixOperand joined(uint64_t batch) const;
};

/// What most kernels on matrices compute with.
inline constexpr std::array floatTypes{MPS::DataType::Float32, MPS::DataType::Float16};

/// `matrices` of them, `matrixBytes` apart, of which `first` is the first one. Its slice reaches to
/// the end of the last.
MatrixOperand boundOperand(const ArrayView& first, const vk::Limits& limits, uint64_t matrices = 1,
                           uint64_t matrixBytes = 0);

/// Takes operands for one encode and checks them against each other.
class MatrixOperands {
public:
    MatrixOperands(const Subject& who, const MTL::Device& kernel,
                   const MTL::CommandBuffer& commandBuffer, uint64_t batchStart = 0,
                   uint64_t batchSize = UINT64_MAX);

    /// Of one of the types, on the command buffer's device, alive, with the origin inside.
    MatrixOperand take(const char* role, const MPS::Matrix& matrix, const MTL::Origin& origin,
                       std::span<const MPS::DataType> types = floatTypes);
    /// One row per vector, from element origin.x on.
    MatrixOperand take(const char* role, const MPS::Vector& vector, const MTL::Origin& origin,
                       std::span<const MPS::DataType> types = floatTypes);
    /// The same of a vector that goes with all matrices of the batch range, if it is the only one
    /// of its object; from its first element on.
    MatrixOperand takeForAll(const char* role, const MPS::Vector& vector);
    /// The same of an object with no other vector.
    MatrixOperand takeOnly(const char* role, const MPS::Vector& vector, MPS::DataType type);
    /// The number of matrices in the batch range that every operand has.
    uint64_t batch() const;
    void checkHolds(const MatrixOperand& operand, uint64_t rows, uint64_t columns) const;
    /// min(given, available), of a kernel's property. Throws when it was set to 0.
    uint64_t extent(const char* property, uint64_t given, uint64_t available) const;
    /// The result's memory is none of a source's.
    void checkApart(const MatrixOperand& result, const MatrixOperand& source) const;
    /// The same, unless the result's elements are the source's very own: written in place.
    void checkApartOrSame(const MatrixOperand& result, const MatrixOperand& source) const;
    const std::string& who() const { return who_; }
    Encoder& encoder() { return encoder_; }
    /// Lowers the read counts of the sources.
    static void markRead(std::initializer_list<const MatrixOperand*> sources);
    static void markRead(std::span<const MatrixOperand* const> sources);

private:
    MatrixOperand placed(const char* role, ArrayStorage& storage, const ArrayView& first,
                         uint64_t matrices, uint64_t matrixBytes, const MTL::Origin& origin,
                         std::span<const MPS::DataType> types, bool forAll);
    MatrixOperand taken(const char* role, const MPS::Vector& vector, const MTL::Origin& origin,
                        std::span<const MPS::DataType> types, bool forAll);

    const std::string who_;
    Encoder encoder_;
    const uint64_t batchStart_, batchSize_;
    uint64_t batch_ = UINT64_MAX;
};

} // namespace mpsvk::mps

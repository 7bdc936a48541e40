// MTLLibrary, MTLFunction, MTLFunctionConstantValues: the user's own kernels, in GLSL or SPIR-V.
//
// How a kernel finds what an encoder binds: buffer index i (and the bytes of setBytes) is binding i
// of descriptor set 0, a storage or a uniform buffer; texture index i is binding 32 + i, a
// `sampler2DArray` to read or an `image2DArray` to write. Declare storage blocks `readonly` or
// `writeonly` where they are: commands that need not wait for each other then do not. A push
// constant block `{ uvec3 grid; }` gets the exact number of threads of a dispatch.
#pragma once

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::MTL {

/// Values of function constants, which are specialization constants (`layout(constant_id = 3)`).
/// MTLFunctionConstantValues.
class FunctionConstantValues {
public:
    void setConstantValue(bool value, uint64_t index);
    void setConstantValue(int32_t value, uint64_t index);
    void setConstantValue(uint32_t value, uint64_t index);
    void setConstantValue(float value, uint64_t index);
    void reset() { values_.clear(); }

    struct Value {
        uint32_t index, bits;
    };
    const std::vector<Value>& values() const { return values_; } ///< each index once

private:
    void set(uint32_t bits, uint64_t index);
    std::vector<Value> values_;
};

/// A compute entry point with the values of its constants. MTLFunction.
class Function : public Object {
public:
    Function() = default;
    std::string name() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Function(std::shared_ptr<Impl> impl);
};

/// One module of SPIR-V, which has one compute entry point (GLSL's is called "main").
/// MTLLibrary.
class Library : public Object {
public:
    Library() = default;
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;
    std::vector<std::string> functionNames() const;

    /// Throws InvalidArgument when there is no such function, or no specialization constant of an
    /// index that `constants` names.
    Function newFunction(const std::string& name) const;
    Function newFunction(const std::string& name, const FunctionConstantValues& constants) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Library(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL

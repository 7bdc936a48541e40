#include "vk/Reflection.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace mpsvk::vk {

namespace {

// The few numbers of the SPIR-V specification that matter here.
enum Op : uint32_t {
    OpEntryPoint = 15,
    OpExecutionMode = 16,
    OpCapability = 17,
    OpTypeBool = 20,
    OpTypeInt = 21,
    OpTypeFloat = 22,
    OpTypeVector = 23,
    OpTypeMatrix = 24,
    OpTypeImage = 25,
    OpTypeSampledImage = 27,
    OpTypeArray = 28,
    OpTypeRuntimeArray = 29,
    OpTypeStruct = 30,
    OpTypePointer = 32,
    OpConstantTrue = 41,
    OpConstantFalse = 42,
    OpConstant = 43,
    OpConstantComposite = 44,
    OpSpecConstantOp = 52,
    OpSpecConstantTrue = 48,
    OpSpecConstantFalse = 49,
    OpSpecConstant = 50,
    OpSpecConstantComposite = 51,
    OpVariable = 59,
    OpDecorate = 71,
    OpMemberDecorate = 72,
    OpExecutionModeId = 331
};
enum Decoration : uint32_t {
    SpecId = 1,
    BufferBlock = 3,
    ArrayStride = 6,
    MatrixStride = 7,
    BuiltIn = 11,
    NonWritable = 24,
    NonReadable = 25,
    BindingNumber = 33,
    DescriptorSet = 34,
    OffsetOf = 35
};
enum Storage : uint32_t {
    UniformConstant = 0,
    Uniform = 2,
    Workgroup = 4,
    PushConstant = 9,
    StorageBuffer = 12
};
constexpr uint32_t GLCompute = 5, LocalSize = 17, LocalSizeId = 38, WorkgroupSize = 25;

struct Id {
    uint32_t op = 0;
    std::vector<uint32_t> operands; // without the result id (and without the result type, if any)
    std::optional<uint32_t> set, binding, specId, builtIn, arrayStride;
    bool nonWritable = false, nonReadable = false, bufferBlock = false;
    std::map<uint32_t, bool> memberNonWritable, memberNonReadable;
    std::map<uint32_t, uint32_t> memberOffset, memberMatrixStride;
};

/// Malformed modules run out of words or name ids that do not exist; both throw.
class Words {
public:
    explicit Words(std::span<const uint32_t> words) : words_(words) {}
    uint32_t operator[](size_t i) const {
        if (i >= words_.size()) throw std::out_of_range("words");
        return words_[i];
    }
    std::vector<uint32_t> from(size_t i) const {
        return i < words_.size() ? std::vector(words_.begin() + long(i), words_.end())
                                 : std::vector<uint32_t>();
    }
    std::string text(size_t i) const {
        std::string text;
        for (;; ++i)
            for (int byte = 0; byte < 4; ++byte) {
                const char c = char((*this)[i] >> (8 * byte));
                if (!c) return text;
                text += c;
            }
    }

private:
    std::span<const uint32_t> words_;
};

class Module {
public:
    Module(std::span<const uint32_t> code, std::span<const Constant> given) : constants_(given) {
        if (code.size() < 5 || code[0] != 0x07230203) throw "is not SPIR-V";
        for (size_t at = 5; at < code.size();) {
            const uint32_t words = code[at] >> 16, op = code[at] & 0xffff;
            if (words == 0 || at + words > code.size()) throw "is cut short";
            instruction(op, Words(code.subspan(at + 1, words - 1)));
            at += words;
        }
        if (entryPoints_ == 0) throw "has no compute entry point";
        if (entryPoints_ > 1) throw "has more than one compute entry point";
        for (const auto& [id, value] : ids_) {
            if (value.specId) result_.constantIds.push_back(*value.specId);
            variable(value);
        }
        auto& constants = result_.constantIds; // two constants may share an id
        std::ranges::sort(constants);
        constants.erase(std::unique(constants.begin(), constants.end()), constants.end());
        std::ranges::sort(result_.bindings, {}, &ReflectedBinding::binding);
        localSize();
    }
    Reflection result_;

private:
    void instruction(uint32_t op, const Words& words) {
        switch (op) {
        case OpEntryPoint:
            if (words[0] != GLCompute) break;
            result_.entryPoint = words.text(2);
            ++entryPoints_;
            break;
        case OpCapability: result_.capabilities.push_back(words[0]); break;
        case OpExecutionMode:
        case OpExecutionModeId:
            for (uint32_t i = 0; i < 3 && (words[1] == LocalSize || words[1] == LocalSizeId); ++i) {
                if (words[1] == LocalSize)
                    result_.localSize[i] = words[2 + i];
                else
                    localSizeConstants_[i] = words[2 + i];
            }
            break;
        case OpTypeBool:
        case OpTypeInt:
        case OpTypeFloat:
        case OpTypeVector:
        case OpTypeMatrix:
        case OpTypeImage:
        case OpTypeSampledImage:
        case OpTypeArray:
        case OpTypeRuntimeArray:
        case OpTypeStruct:
        case OpTypePointer:
            ids_[words[0]].op = op;
            ids_[words[0]].operands = words.from(1);
            break;
        case OpConstant:
        case OpConstantComposite:
        case OpSpecConstant:
        case OpSpecConstantComposite:
        case OpConstantTrue:
        case OpConstantFalse:
        case OpSpecConstantTrue:
        case OpSpecConstantFalse:
        case OpSpecConstantOp:
            ids_[words[1]].op = op;
            ids_[words[1]].operands = words.from(2);
            break;
        case OpVariable:
            ids_[words[1]].op = op;
            ids_[words[1]].operands = {words[0], words[2]}; // pointer type, storage class
            break;
        case OpDecorate: decorate(ids_[words[0]], words); break;
        case OpMemberDecorate: {
            Id& id = ids_[words[0]];
            if (words[2] == NonWritable) id.memberNonWritable[words[1]] = true;
            if (words[2] == NonReadable) id.memberNonReadable[words[1]] = true;
            if (words[2] == OffsetOf) id.memberOffset[words[1]] = words[3];
            if (words[2] == MatrixStride) id.memberMatrixStride[words[1]] = words[3];
            break;
        }
        default: break;
        }
    }

    static void decorate(Id& id, const Words& words) {
        switch (words[1]) {
        case SpecId: id.specId = words[2]; break;
        case BuiltIn: id.builtIn = words[2]; break;
        case ArrayStride: id.arrayStride = words[2]; break;
        case BufferBlock: id.bufferBlock = true; break;
        case NonWritable: id.nonWritable = true; break;
        case NonReadable: id.nonReadable = true; break;
        case BindingNumber: id.binding = words[2]; break;
        case DescriptorSet: id.set = words[2]; break;
        default: break;
        }
    }

    /// The 32 bits of a constant, or what the caller's constants make of it.
    uint32_t valueOf(uint32_t id, int depth = 0) const {
        if (depth > 64) throw std::out_of_range("a constant that needs itself");
        const Id& constant = ids_.at(id);
        for (const Constant& given : constants_)
            if (constant.specId == given.id) return given.value;
        switch (constant.op) {
        case OpConstantTrue:
        case OpSpecConstantTrue: return 1;
        case OpConstantFalse:
        case OpSpecConstantFalse: return 0;
        case OpSpecConstantOp: return computed(constant.operands, depth + 1);
        default: return constant.operands.at(0);
        }
    }

    /// The arithmetic that sizes of arrays are made of: operands are the operation and its own.
    uint32_t computed(const std::vector<uint32_t>& operands, int depth) const {
        const auto value = [&](size_t i) { return valueOf(operands.at(i), depth); };
        const auto divisor = [&] {
            if (value(2) == 0) throw std::out_of_range("a division by zero");
            return value(2);
        };
        switch (operands.at(0)) {
        case 81: // CompositeExtract, of the workgroup size
            return valueOf(ids_.at(operands.at(1)).operands.at(operands.at(2)), depth);
        case 128: return value(1) + value(2);
        case 130: return value(1) - value(2);
        case 132: return value(1) * value(2);
        case 134:
        case 135: return value(1) / divisor(); // sizes are not negative
        case 137:
        case 138:
        case 139: return value(1) % divisor();
        case 166: return value(1) || value(2);
        case 167: return value(1) && value(2);
        case 168: return !value(1);
        case 169: return value(1) ? value(2) : value(3); // Select
        case 170: return value(1) == value(2);
        case 171: return value(1) != value(2);
        case 172: return value(1) > value(2);
        case 174: return value(1) >= value(2);
        case 176: return value(1) < value(2);
        case 178: return value(1) <= value(2);
        case 194: return value(1) >> (value(2) & 31);
        case 196: return value(1) << (value(2) & 31);
        case 197: return value(1) | value(2);
        case 199: return value(1) & value(2);
        default: throw std::out_of_range("an operation on constants");
        }
    }

    const Id& typeAt(uint32_t id, int depth) const {
        if (depth > 64) throw std::out_of_range("a type that holds itself");
        return ids_.at(id);
    }

    uint64_t sizeOf(uint32_t typeId, int depth = 0) const {
        const Id& type = typeAt(typeId, depth++);
        const auto& operands = type.operands;
        switch (type.op) {
        case OpTypeBool: return 4;
        case OpTypeInt:
        case OpTypeFloat: return operands.at(0) / 8;
        case OpTypeVector:
        case OpTypeMatrix: return sizeOf(operands.at(0), depth) * operands.at(1);
        case OpTypeArray:
            return uint64_t(type.arrayStride ? *type.arrayStride : sizeOf(operands.at(0), depth)) *
                   valueOf(operands.at(1));
        case OpTypeStruct: {
            uint64_t end = 0;
            for (uint32_t member = 0; member < operands.size(); ++member) {
                const Id& of = typeAt(operands[member], depth);
                const auto offset = type.memberOffset.find(member);
                const auto stride = type.memberMatrixStride.find(member);
                const bool strided =
                    of.op == OpTypeMatrix && stride != type.memberMatrixStride.end();
                const uint64_t size = strided ? uint64_t(stride->second) * of.operands.at(1)
                                              : sizeOf(operands[member], depth);
                end = offset == type.memberOffset.end() ? end + size
                                                        : std::max(end, offset->second + size);
            }
            return end;
        }
        default: return 0;
        }
    }

    void variable(const Id& id) {
        if (id.op != OpVariable) return;
        const uint32_t storage = id.operands[1];
        const uint32_t pointee = ids_.at(id.operands[0]).operands.at(1);
        const Id& type = ids_.at(pointee);
        if (storage == Workgroup) result_.sharedBytes += sizeOf(pointee);
        if (storage == PushConstant)
            result_.pushConstantBytes = uint32_t((sizeOf(pointee) + 3) / 4 * 4);
        if (storage != UniformConstant && storage != Uniform && storage != StorageBuffer) return;
        if (id.set.value_or(0) != 0) throw "uses a descriptor set other than 0";
        ReflectedBinding made;
        made.binding = id.binding.value_or(0);
        made.reads = !id.nonReadable;
        made.writes = !id.nonWritable;
        if (type.op == OpTypeStruct) {
            const bool writable = storage == StorageBuffer || type.bufferBlock;
            made.type =
                writable ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
            const size_t members = type.operands.size();
            if (!writable || type.memberNonWritable.size() == members) made.writes = false;
            if (writable && type.memberNonReadable.size() == members) made.reads = false;
        } else if (type.op == OpTypeSampledImage) {
            checkImage(ids_.at(type.operands.at(0)));
            made.type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
            made.writes = false;
        } else if (type.op == OpTypeImage && type.operands.at(5) == 2) {
            checkImage(type);
            made.type = VK_DESCRIPTOR_TYPE_STORAGE_IMAGE;
        } else {
            throw "binds a resource that is neither a buffer, a sampled image nor a storage image";
        }
        // Several views of one buffer may share a binding; what any of them may do counts.
        for (ReflectedBinding& other : result_.bindings)
            if (other.binding == made.binding) {
                if (other.type != made.type) throw "binds two kinds of resource to one number";
                other.reads |= made.reads;
                other.writes |= made.writes;
                return;
            }
        result_.bindings.push_back(made);
    }

    /// Textures are bound as arrays of two dimensions.
    static void checkImage(const Id& image) {
        constexpr uint32_t twoDimensions = 1;
        if (image.operands.at(1) != twoDimensions || image.operands.at(3) != 1 ||
            image.operands.at(4) != 0)
            throw "declares an image that is no 2D array";
    }

    void localSize() {
        for (const auto& [id, value] : ids_)
            if (value.builtIn == WorkgroupSize && value.operands.size() >= 3)
                for (uint32_t i = 0; i < 3; ++i) localSizeConstants_[i] = value.operands[i];
        for (uint32_t i = 0; i < 3; ++i) {
            if (!localSizeConstants_[i]) continue;
            const Id& constant = ids_.at(*localSizeConstants_[i]);
            result_.localSize[i] = valueOf(*localSizeConstants_[i]);
            if (constant.specId) {
                result_.hasLocalSizeId[i] = true;
                result_.localSizeId[i] = *constant.specId;
            }
        }
    }

    std::span<const Constant> constants_;
    uint32_t entryPoints_ = 0;
    std::map<uint32_t, Id> ids_;
    std::array<std::optional<uint32_t>, 3> localSizeConstants_;
};

} // namespace

Reflection reflect(std::string_view name, std::span<const uint32_t> code,
                   std::span<const Constant> constants) {
    const auto fail = [&](const char* what) {
        return DeviceError("The shader \"" + std::string(name) + "\" " + what + ".");
    };
    try {
        return Module(code, constants).result_;
    } catch (const char* what) {
        throw fail(what);
    } catch (const std::out_of_range&) {
        throw fail("is malformed SPIR-V");
    }
}

} // namespace mpsvk::vk

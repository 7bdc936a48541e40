// The updates and reloads that follow a plan's commands: recorded in one encode, and recognized in
// the next ones, where the same commands are then used with other numbers.
#pragma once

#include "NNOptimizer.h"
#include "mps/KnownInputs.hpp"
#include "mps/Matrix.hpp"
#include "mtl/CommandBuffer.hpp"

#include <mpsvk/MPS/State.hpp>

#include <array>
#include <optional>
#include <span>

namespace mpsvk::mps {

class Draft;
class Encoder;
class Stage;

/// What an update of one tensor works on, in the order of the shaders' bindings: see
/// OptimizerUpdate::Slot.
using UpdateRange = std::array<ArrayView, 6>;

/// A number that no other call returns, and not 0.
uint64_t newVersion();

/// What one encode's updates were. Keeps none of their objects alive.
struct KnownUpdates {
    /// An operand that is a vector: another one of the same memory is as good.
    struct Place {
        const vk::Buffer* buffer = nullptr;
        VkDeviceSize offset = 0;
        uint64_t length = 0, vectors = 0, rowBytes = 0;
    };
    struct Update {
        uint32_t firstOperand = 0, operandCount = 0, shape = 0;
        uint32_t firstRange = 0, rangeCount = 0, group = 0;
    };
    /// Updates with the same numbers, which may share dispatches.
    struct Group {
        std::string_view shader;
        glsl::NNOptimizerParameters recorded, now;
        bool isSet; ///< `now` is that of the encode that is going on
    };
    struct Load {
        const Stage* reader;
        KnownObject state;
        uint64_t version;
    };
    std::vector<KnownObject> operands;
    std::vector<Place> places; ///< of these
    std::vector<Update> updates;
    std::vector<UpdateRange> ranges; ///< lent
    std::vector<Group> groups;
    std::vector<Load> loads;
    struct Resource {
        const void* address;
        std::weak_ptr<const void> owner;
    };
    std::vector<Resource> resources; ///< that the commands use, but for the plan's own
    using Held = std::vector<std::shared_ptr<const void>>;
    std::weak_ptr<Held> held; ///< all of them, until the steps that use them have run
    vk::CommandList commands;
    vk::CommandList::Uses sameNumbers, otherNumbers;
};

/// What a graph keeps of its updates with a plan.
struct UpdateMemory {
    std::shared_ptr<KnownUpdates> known;
    size_t missesInARow = 0;
    bool isInUse = false; ///< a callback may encode its own graph once more
};

/// The updates of one encode: recognizes them one by one, and records nothing until one is another;
/// or takes down what they are.
class UpdateRun : public MTL::CommandBuffer::Impl::Deferred {
public:
    /// No memory: neither of both.
    UpdateRun(const MTL::CommandBuffer& commands, UpdateMemory* memory);
    ~UpdateRun();
    UpdateRun(const UpdateRun&) = delete;
    /// That of the encode that is going on into this command buffer; null: none, or it does
    /// neither.
    static UpdateRun* of(const MTL::CommandBuffer& commands);

    /// The next update; whether it is the known one.
    template <class... Operands>
    bool isKnown(std::string_view shader, const Operands&... operands) {
        const uint32_t shape = shapeOf(operands...);
        if (mode_ == Mode::Recording) {
            beginUpdate(shape);
            isExpected_ = (note(operands) && ...);
            return false;
        }
        return isNext(shader, shape) && (matches(operands) && ...);
    }
    /// What a known one computes with.
    void setNumbers(const glsl::NNOptimizerParameters& numbers);
    /// One to remember is to be recorded with this.
    void add(std::string_view shader, const glsl::NNOptimizerParameters& numbers,
             std::span<const UpdateRange> ranges);
    /// One that was refused cannot be remembered.
    void endUpdate(bool isRecorded);
    /// Updates that follow share no dispatch with those before.
    void seal();
    /// All that was recognized, before something else; or something else is recorded that cannot be
    /// remembered.
    void record() override;

    /// Of a reload that is to be recorded. False: it cannot be remembered.
    bool beginLoad(const MPS::State& state);
    void endLoad(const Stage& reader, const MPS::State& state);
    /// The next reload; whether it is the known one.
    bool isKnownLoad(const Stage& reader, const MPS::State& state);
    bool isRecognizing() const { return mode_ == Mode::Recognizing; }
    /// When all were asked for: the known commands, if everything was known. Else they are recorded
    /// as ever.
    bool replay();
    /// When all are recorded: remembers them if that is possible. The plan keeps its states.
    void finish(const std::vector<MPS::StateBatch>& states);

private:
    enum class Mode { Neither, Recording, Recognizing };
    bool holdResources();
    void remember(const std::vector<MPS::StateBatch>& states);
    void addResource(const std::shared_ptr<const void>& resource);
    void forgetResources(const std::vector<MPS::StateBatch>& states);
    void addCommand(const vk::CommandList& list, const vk::CommandList::Command& command);
    size_t groupOf(std::string_view shader, const glsl::NNOptimizerParameters& numbers);
    void beginUpdate(uint32_t shape);
    bool isNext(std::string_view shader, uint32_t shape);
    void dispatch(Encoder& encoder, const KnownUpdates::Update& update,
                  const glsl::NNOptimizerParameters& numbers);

    /// How many vectors each operand has; 3: it is one object.
    template <class... Operands> static uint32_t shapeOf(const Operands&... operands) {
        uint32_t shape = 0;
        ((shape = 4 * shape + countOf(operands)), ...);
        return shape;
    }
    static uint32_t countOf(const Object&) { return 3; }
    static uint32_t countOf(const std::vector<MPS::Vector>& vectors) {
        return uint32_t(std::min<size_t>(vectors.size(), 3));
    }
    bool note(const MPS::State& state);
    bool note(const MPS::Vector& vector);
    bool note(const std::vector<MPS::Vector>& vectors);
    bool note(const MPS::Matrix&) { return false; }
    bool matches(const MPS::State& state);
    bool matches(const MPS::Vector& vector);
    bool matches(const std::vector<MPS::Vector>& vectors);
    bool matches(const MPS::Matrix&) { return false; }

    const MTL::CommandBuffer& commands_;
    UpdateMemory* const memory_;
    Mode mode_ = Mode::Neither;
    std::shared_ptr<KnownUpdates> known_; ///< or what becomes it
    std::shared_ptr<KnownUpdates::Held> held_;
    std::unique_ptr<Draft> draft_; ///< while something is taken down: it is in a list of its own
    bool isExpected_ = false;      ///< what is recorded is taken down
    size_t nextUpdate_ = 0, nextOperand_ = 0, nextLoad_ = 0;
};

} // namespace mpsvk::mps

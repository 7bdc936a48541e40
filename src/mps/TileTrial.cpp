#include "mps/TileTrial.hpp"

#include "mps/DeviceTable.hpp"
#include "mtl/CommandBuffer.hpp"
#include "vk/ChoiceFile.hpp"
#include "vk/Instance.hpp"
#include "vk/Submission.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <set>
#include <string_view>

namespace mpsvk::mps {

namespace {

bool isTuning() {
    const char* wanted = std::getenv("MPSVK_AUTOTUNE");
    return wanted && std::string_view(wanted) == "1";
}

/// Whether a driver is asked. Where the tiles were measured none spills, and to wait for each
/// pipeline would cost the first step its parallel compilation.
bool tellsSpills(const vk::Device& device) {
    const vk::Processor processor = tileLimits(device).processor;
    const bool isKnown =
        tableOf(processor).isMeasured && processor.multiprocessors == measuredMultiprocessors;
    return device.features().pipelineStatistics && !isKnown;
}

/// What the encoder will look for.
std::shared_ptr<vk::Pipeline> pipelineOf(vk::Device& device, std::span<const Operand> operands,
                                         const TileDispatch& dispatch) {
    const auto all = constantsOfDispatch(dispatch.grid, operands, dispatch.constants,
                                         std::pmr::get_default_resource());
    return device.pipelines().find(dispatch.shader, false, all, true);
}

/// Once for each.
void logSpill(const std::string& shader, const ProductTile& tile) {
    static std::mutex mutex;
    static std::set<std::string> logged;
    const std::string text = "The shader \"" + shader + "\" spills registers with the tile " +
                             nameOf(tile) + "; another is taken where there is one.";
    std::lock_guard lock(mutex);
    if (logged.insert(text).second) vk::log(int(LogLevel::Info), text);
}

/// Runs dispatches on a queue of its own.
class Trial {
public:
    Trial(Encoder& encoder, std::span<const Operand> operands)
        : queue_(encoder.commandBuffer().impl().device.newCommandQueue()) {
        constexpr VkDeviceSize most = VkDeviceSize(1) << 30;
        VkDeviceSize bytes = 0;
        for (const Operand& operand : operands) {
            vk::Binding binding;
            if (operand.image) binding = operand.image->binding(operand.number, encoder.limits());
            const VkDeviceSize size = operand.image ? binding.size : operand.buffer.size;
            if (size == 0) continue;
            if ((bytes += size) > most) return;
            auto memory = encoder.device().memory().allocate(size, vk::MemoryKind::Device);
            encoder.device().clearBeforeUse(memory);
            operands_.emplace_back(operand.number, vk::whole(std::move(memory)));
            if (operand.image)
                storages_.push_back(constant(operand.number, operand.image->storageConstant()));
        }
        isPossible_ = true;
    }

    /// False where it would take too much memory.
    explicit operator bool() const { return isPossible_; }

    /// Seconds of one dispatch, from so many.
    double time(const TileDispatch& dispatch, size_t repeats) {
        MTL::CommandBuffer commands = queue_.commandBuffer();
        Encoder encoder(commands, "");
        std::vector<vk::Constant> constants = storages_;
        constants.insert(constants.end(), dispatch.constants.begin(), dispatch.constants.end());
        for (size_t i = 0; i < repeats; ++i)
            encoder.dispatchBytes(dispatch.shader, dispatch.parameters, dispatch.grid, operands_,
                                  constants, {});
        const double begin = vk::steadySeconds();
        commands.commit();
        commands.waitUntilCompleted();
        const double waited = vk::steadySeconds() - begin;
        if (commands.error()) return std::numeric_limits<double>::infinity();
        const double worked = commands.GPUEndTime() - commands.GPUStartTime();
        return (worked > 0 ? worked : waited) / double(repeats);
    }

private:
    MTL::CommandQueue queue_;
    std::vector<Operand> operands_;
    std::vector<vk::Constant> storages_;
    bool isPossible_ = false;
};

ProductTile measured(Encoder& encoder, std::span<const Operand> operands,
                     const std::vector<ProductTile>& tiles,
                     const std::function<TileDispatch(const ProductTile&)>& dispatch) {
    Trial trial(encoder, operands);
    if (!trial) return tiles.front();
    std::vector<TileDispatch> dispatches;
    std::vector<size_t> repeats(tiles.size(), 1);
    for (const ProductTile& tile : tiles) {
        dispatches.push_back(dispatch(tile));
        pipelineOf(encoder.device(), operands, dispatches.back()); // all compile at once
    }
    return tiles[fastest(tiles.size(), trialSeconds, [&](size_t i) {
        constexpr double enough = 1e-3; // seconds, against the noise
        const double time = trial.time(dispatches[i], repeats[i]);
        repeats[i] = size_t(std::clamp(enough / std::max(time, 1e-9), 1.0, 20.0));
        return time;
    })];
}

} // namespace

std::vector<ProductTile> withoutSpills(std::span<const ProductTile> tiles, size_t most,
                                       const std::function<bool(const ProductTile&)>& spills) {
    std::vector<ProductTile> made;
    for (const ProductTile& tile : tiles) {
        if (made.size() == most) break;
        if (!spills(tile)) made.push_back(tile);
    }
    if (made.empty()) made.push_back(tiles.front());
    return made;
}

size_t fastest(size_t count, double budgetSeconds, const std::function<double(size_t)>& time) {
    constexpr int rounds = 4;
    constexpr double noise = 0.02;
    const double end = vk::steadySeconds() + budgetSeconds;
    std::vector<double> least(count, std::numeric_limits<double>::infinity());
    for (int round = 0; round < rounds; ++round)
        for (size_t i = 0; i < count; ++i) {
            if (vk::steadySeconds() >= end) {
                if (round < 2) return 0; // not all were measured
                round = rounds;
                break;
            }
            const double taken = time(i);
            if (round > 0) least[i] = std::min(least[i], taken);
        }
    const size_t best = size_t(std::ranges::min_element(least) - least.begin());
    return least[best] < (1 - noise) * least[0] ? best : 0;
}

std::string nameOf(const ProductTile& tile) {
    std::string name;
    for (const uint32_t number :
         {tile.down, tile.across, tile.blocksDown, tile.blocksAcross, tile.depth, tile.deep})
        name += (name.empty() ? "" : " ") + std::to_string(number);
    return name;
}

std::string shapeClass(const std::string& shader, const ProductShape& s, const ProductPlan& plan) {
    // Only shapes that have the same candidates are of one class.
    std::string name = shader + " " + std::to_string(s.tileColumns) + " columns";
    if (s.interiorStep % 64 != 0) name += " in steps of " + std::to_string(s.interiorStep % 64);
    if (s.shares > 1) name += " of " + std::to_string(s.shares) + " bf16";
    if (s.shares == 3 && !s.leftAlong) name += ", left across";
    if (s.rightAlong) name += ", right along";
    if (plan.parts > 1) name += ", parts in steps of " + std::to_string(plan.tile.depth);
    for (const uint64_t size : {s.rows, s.columns, s.interior, s.products, uint64_t(plan.parts)})
        name += " " + std::to_string(std::bit_width(size));
    return name;
}

ProductTile pickTile(Encoder& encoder, const ProductShape& shape, const ProductPlan& plan,
                     std::span<const Operand> operands,
                     const std::function<TileDispatch(const ProductTile&)>& dispatch) {
    auto& device = encoder.device();
    const bool tunes = isTuning();
    if (!tunes && !tellsSpills(device)) return plan.tile;
    auto tiles = tilesFor(tileLimits(device), shape, plan);
    if (tiles.size() > mostTrials) tiles.resize(mostTrials);
    const auto spills = [&](const ProductTile& tile) {
        if (!tellsSpills(device)) return false;
        const TileDispatch made = dispatch(tile);
        if (!pipelineOf(device, operands, made)->spills()) return false;
        logSpill(made.shader, tile);
        return true;
    };
    if (!tunes) return withoutSpills(tiles, 1, spills).front();
    auto& choices = vk::ChoiceFile::of(device.properties());
    const std::string key = shapeClass(dispatch(plan.tile).shader, shape, plan);
    if (const auto known = choices.find(key))
        for (const ProductTile& tile : tiles)
            if (nameOf(tile) == *known) return tile;
    tiles = withoutSpills(tiles, mostTrials, spills);
    ProductTile best = tiles.front();
    try {
        if (tiles.size() > 1) best = measured(encoder, operands, tiles, dispatch);
    } catch (const DeviceError&) {
        return best; // no memory to try it in, which the product itself may not need
    }
    choices.remember(key, nameOf(best));
    vk::log(int(LogLevel::Info), "Of " + std::to_string(tiles.size()) + " tiles for " + key +
                                     " the fastest is " + nameOf(best) + ".");
    return best;
}

} // namespace mpsvk::mps

#include "Digits.hpp"

#include <algorithm>
#include <array>

#include "train/Sampling.hpp"

namespace mpsvk::examples {

std::filesystem::path Digits::defaultFolder() {
    return std::filesystem::path(MPSVK_DATA_DIRECTORY) / "digits";
}

Digits::Digits(const std::filesystem::path& folder, const Settings& settings)
    : data_(train::loadIdxDataset(folder, classes)), batch_(settings.batch), seed_(settings.seed) {
    if (batch_ > data_.train.count()) {
        throw train::UsageError("--batch " + std::to_string(batch_) + " is more than the " +
                                std::to_string(data_.train.count()) + " training images in " +
                                folder.string() + ".");
    }
}

std::span<const uint32_t> Digits::batchOf(uint32_t step) {
    const uint32_t perEpoch = data_.train.count() / batch_, epoch = step / perEpoch;
    if (order_.empty() || epoch != epoch_)
        order_ = train::epochOrder(seed_, epoch, data_.train.count());
    epoch_ = epoch;
    return std::span(order_).subspan(size_t{step % perEpoch} * batch_, batch_);
}

std::string Digits::accuracy(const Session& session, const MPS::NNGraph& graph,
                             const MPS::ImageBatch& images, const Write& write) const {
    const train::LabelledImages& test = data_.test;
    const auto batch = static_cast<uint32_t>(images.size());
    uint32_t right = 0;
    for (uint32_t first = 0; first < test.count(); first += batch) {
        const uint32_t count = std::min(batch, test.count() - first);
        for (uint32_t i = 0; i < count; ++i) write(images[i], test.image(first + i));
        const MPS::ImageBatch results = session.infer(graph, images);
        for (uint32_t i = 0; i < count; ++i) {
            std::array<float, classes> values;
            results[i].read(values);
            const auto guess = std::ranges::max_element(values) - values.begin();
            right += guess == test.labels[first + i] ? 1 : 0;
        }
    }
    return percent(right, test.count()) + " of " + std::to_string(test.count()) +
           " held-out images guessed right";
}

} // namespace mpsvk::examples

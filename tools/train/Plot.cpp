#include "Plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mpsvk::train {

namespace {

constexpr Colour trainColour{31, 119, 180}, testColour{214, 93, 14}, good{25, 135, 84},
    bad{190, 40, 50};

double lowest(std::span<const Curve> curves) {
    double result = 100;
    for (const Curve& curve : curves) {
        for (double value : curve.values) result = std::min(result, value);
    }
    return result;
}

double highest(std::span<const Curve> curves) {
    double result = 0;
    for (const Curve& curve : curves) {
        for (double value : curve.values) {
            if (std::isfinite(value)) result = std::max(result, value);
        }
    }
    return result;
}

} // namespace

Canvas drawCurves(std::span<const EpochRecord> history) {
    Canvas canvas(1280, 520, paper);
    std::vector<Curve> loss{{"training", trainColour, {}}, {"held out", testColour, {}}};
    std::vector<Curve> accuracy = loss;
    for (const EpochRecord& record : history) {
        loss[0].values.push_back(record.trainLoss);
        loss[1].values.push_back(record.testLoss);
        accuracy[0].values.push_back(100 * record.trainAccuracy);
        accuracy[1].values.push_back(100 * record.testAccuracy);
    }
    const ChartArea left{100, 64, 610, 450};
    const ChartArea right{740, 64, 1250, 450};
    drawChart(canvas, left, loss, 0, std::max(highest(loss), 1e-6),
              {"Loss", "epoch", "cross-entropy"}, LegendPlace::TopRight);
    drawChart(canvas, right, accuracy, std::min(lowest(accuracy), 99.0), 100,
              {"Accuracy", "epoch", "right guesses in percent"}, LegendPlace::BottomRight);
    return canvas;
}

Canvas drawMistakes(const IdxDataset& data, std::vector<Mistake> mistakes) {
    constexpr unsigned perRow = 8, mostRows = 6;
    constexpr double cell = 140, picture = 100, margin = 20, header = 70;
    std::stable_sort(mistakes.begin(), mistakes.end(),
                     [](const Mistake& a, const Mistake& b) { return a.certainty > b.certainty; });
    const size_t total = mistakes.size();
    if (total > perRow * mostRows) mistakes.resize(perRow * mostRows);
    const auto rows = static_cast<unsigned>((mistakes.size() + perRow - 1) / perRow);
    Canvas canvas(static_cast<unsigned>(2 * margin + perRow * cell),
                  static_cast<unsigned>(header + rows * (cell + 24) + margin), paper);

    char title[120];
    std::snprintf(title, sizeof title, "%zu of %u held-out images guessed wrong (%.2f %% right)",
                  total, data.test.count(),
                  100.0 * static_cast<double>(data.test.count() - total) / data.test.count());
    canvas.text({margin + 20, 24}, title, 2.333, ink);
    for (size_t i = 0; i < mistakes.size(); ++i) {
        const Mistake& mistake = mistakes[i];
        const Point corner{margin + static_cast<double>(i % perRow) * cell + (cell - picture) / 2,
                           header + static_cast<double>(i / perRow) * (cell + 24)};
        canvas.picture(corner, picture, data.test.image(mistake.index), data.columns);
        const double y = corner.y + picture + 8;
        canvas.text({corner.x, y}, "is " + std::to_string(mistake.truth), 1.667, good);
        canvas.text({corner.x + picture, y}, "not " + std::to_string(mistake.guess), 1.667, bad,
                    Align::Right);
        char certainty[40];
        std::snprintf(certainty, sizeof certainty, "%.0f %% sure", 100.0 * mistake.certainty);
        canvas.text({corner.x + picture / 2, y + 20}, certainty, 1.333, faint, Align::Centre);
    }
    return canvas;
}

} // namespace mpsvk::train

#include "Plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mpsvk::train {

namespace {

constexpr Colour white{255, 255, 255}, ink{33, 37, 41}, faint{108, 117, 125}, grid{226, 230, 234};
constexpr Colour trainColour{31, 119, 180}, testColour{214, 93, 14}, good{25, 135, 84},
    bad{190, 40, 50};

struct Curve {
    std::string name;
    Colour colour;
    std::vector<double> values; ///< of epoch 1, 2, …
};

struct Frame {
    double left, top, right, bottom;
    double lowX, highX, lowY, highY;
    Point place(double x, double y) const {
        return {left + (x - lowX) / (highX - lowX) * (right - left),
                bottom - (y - lowY) / (highY - lowY) * (bottom - top)};
    }
};

std::string tickText(double value, double step) {
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

void drawAxes(Canvas& canvas, const Frame& frame, std::span<const double> ticksX,
              std::span<const double> ticksY, const std::string& title, const std::string& labelY) {
    for (double y : ticksY) {
        const double at = std::round(frame.place(0, y).y);
        canvas.rectangle({frame.left, at}, {frame.right, at + 1}, grid);
        canvas.rectangle({frame.left - 5, at}, {frame.left, at + 1}, ink);
        const double step = ticksY.size() > 1 ? ticksY[1] - ticksY[0] : 1;
        canvas.text({frame.left - 10, at - 6}, tickText(y, step), 1.667, ink, Align::Right);
    }
    for (double x : ticksX) {
        const double at = std::round(frame.place(x, 0).x);
        canvas.rectangle({at, frame.top}, {at + 1, frame.bottom}, grid);
        canvas.rectangle({at, frame.bottom}, {at + 1, frame.bottom + 5}, ink);
        canvas.text({at, frame.bottom + 11}, tickText(x, 1), 1.667, ink, Align::Centre);
    }
    canvas.rectangle({frame.left, frame.top}, {frame.left + 1, frame.bottom}, ink);
    canvas.rectangle({frame.left, frame.bottom}, {frame.right, frame.bottom + 1}, ink);
    const double middle = (frame.left + frame.right) / 2;
    canvas.text({middle, frame.top - 36}, title, 2.333, ink, Align::Centre);
    canvas.text({middle, frame.bottom + 36}, "epoch", 1.667, ink, Align::Centre);
    canvas.textUpwards({frame.left - 70, (frame.top + frame.bottom) / 2}, labelY, 1.667, ink);
}

enum class LegendPlace { TopRight, BottomRight };

void drawLegend(Canvas& canvas, const Frame& frame, std::span<const Curve> curves,
                LegendPlace place) {
    double width = 0;
    for (const Curve& curve : curves) {
        width = std::max(width, Canvas::textWidth(curve.name, 1.667));
    }
    const double height = 24.0 * static_cast<double>(curves.size()) + 12;
    const double top = place == LegendPlace::TopRight ? frame.top + 14 : frame.bottom - 16 - height;
    const Point corner{frame.right - width - 74, top};
    const Point far{frame.right - 16, top + height};
    canvas.rectangle({corner.x - 1, corner.y - 1}, {far.x + 1, far.y + 1}, grid);
    canvas.rectangle(corner, far, white);
    double y = top + 17;
    for (const Curve& curve : curves) {
        canvas.line({corner.x + 12, y}, {corner.x + 36, y}, 3, curve.colour);
        canvas.text({corner.x + 46, y - 6}, curve.name, 1.667, ink);
        y += 24;
    }
}

void drawChart(Canvas& canvas, Frame frame, std::span<const Curve> curves, double lowY,
               double highY, const std::string& title, const std::string& labelY,
               LegendPlace legend) {
    const auto epochs = static_cast<double>(curves.front().values.size());
    const std::vector<double> ticksY = niceTicks(lowY, highY, 8);
    frame.lowY = ticksY.front();
    frame.highY = ticksY.back();
    frame.lowX = 0;
    frame.highX = std::max(epochs, 1.0);
    std::vector<double> ticksX = niceTicks(frame.lowX, frame.highX, 10);
    std::erase_if(ticksX, [&](double x) { return x > frame.highX || x != std::round(x); });
    drawAxes(canvas, frame, ticksX, ticksY, title, labelY);

    for (const Curve& curve : curves) {
        std::vector<Point> points;
        for (size_t i = 0; i < curve.values.size(); ++i) {
            const double value = curve.values[i];
            if (!std::isfinite(value)) continue;
            points.push_back(frame.place(static_cast<double>(i + 1),
                                         std::clamp(value, frame.lowY, frame.highY)));
        }
        canvas.polyline(points, 2.5, curve.colour);
        if (points.size() <= 40) {
            for (const Point& point : points) canvas.disc(point, 4, curve.colour);
        }
    }
    drawLegend(canvas, frame, curves, legend);
}

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

std::vector<double> niceTicks(double low, double high, unsigned most) {
    if (!(high > low)) high = low + 1;
    const double rough = (high - low) / most;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (double candidate : {power, 2 * power, 5 * power}) {
        const double gaps = std::ceil(high / candidate - 1e-9) - std::floor(low / candidate + 1e-9);
        if (gaps <= most) {
            step = candidate;
            break;
        }
    }
    std::vector<double> ticks;
    const double first = std::floor(low / step + 1e-9);
    const double last = std::ceil(high / step - 1e-9);
    for (double i = first; i <= last; ++i) ticks.push_back(i * step);
    return ticks;
}

Canvas drawCurves(std::span<const EpochRecord> history) {
    Canvas canvas(1280, 520, white);
    std::vector<Curve> loss{{"training", trainColour, {}}, {"held out", testColour, {}}};
    std::vector<Curve> accuracy = loss;
    for (const EpochRecord& record : history) {
        loss[0].values.push_back(record.trainLoss);
        loss[1].values.push_back(record.testLoss);
        accuracy[0].values.push_back(100 * record.trainAccuracy);
        accuracy[1].values.push_back(100 * record.testAccuracy);
    }
    const Frame left{100, 64, 610, 450, 0, 1, 0, 1};
    const Frame right{740, 64, 1250, 450, 0, 1, 0, 1};
    drawChart(canvas, left, loss, 0, std::max(highest(loss), 1e-6), "Loss", "cross-entropy",
              LegendPlace::TopRight);
    drawChart(canvas, right, accuracy, std::min(lowest(accuracy), 99.0), 100, "Accuracy",
              "right guesses in percent", LegendPlace::BottomRight);
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
                  static_cast<unsigned>(header + rows * (cell + 24) + margin), white);

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

#include "Ratios.hpp"

#include "Text.hpp"

#include <algorithm>

namespace mpsvk::bench {

namespace {

using train::Colour;

constexpr double rowHeight = 17, header = 70, footer = 80, textSize = 1.333;
constexpr Colour colourOfFp32{31, 119, 180}, colourOfFp16{120, 175, 215};

struct Row {
    std::string text;
    double ratio = 0; ///< 0: a heading
    Colour colour;
};

std::vector<Row> rowsOf(const std::vector<Pair>& pairs) {
    std::vector<Row> rows;
    for (const GroupMeans& group : meansOf(pairs)) {
        rows.push_back({group.name, 0, train::ink});
        for (const Pair& pair : pairs) {
            // "all" is no pair's group: it has means alone.
            if (pair.meansGroup() != group.name) continue;
            rows.push_back({pair.name + " " + pair.pass + " " + pair.mode, pair.ratio(),
                            pair.mode == "fp16" ? colourOfFp16 : colourOfFp32});
        }
        for (const auto& [mode, mean] :
             {std::pair("fp32", group.fp32), std::pair("fp16", group.fp16)})
            if (mean.count > 0)
                rows.push_back({format("geometric mean of %zu, %s", mean.count, mode), mean.value,
                                train::ink});
    }
    return rows;
}

train::Axis axisOf(const std::vector<Row>& rows) {
    double low = 0.5, high = 2;
    for (const Row& row : rows) {
        if (row.ratio <= 0) continue;
        low = std::min(low, row.ratio), high = std::max(high, row.ratio);
    }
    return train::logarithmicAxis(low, high);
}

} // namespace

double heightOfRatios(const std::vector<Pair>& pairs) {
    return header + footer + rowHeight * double(rowsOf(pairs).size());
}

void drawRatios(train::Drawing& drawing, double width, double top, const std::vector<Pair>& pairs,
                const std::string& title) {
    const std::vector<Row> rows = rowsOf(pairs);
    const double first = top + header;
    const train::Frame frame{
        {440, first, width - 110, first + rowHeight * double(rows.size())}, axisOf(rows), {}};
    drawAxes(drawing, frame, {title, "other/ours: above 1 we are faster", ""});
    const double one = frame.place(1, 0).x;
    for (size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        const double y = first + rowHeight * double(i);
        if (row.ratio <= 0) {
            drawing.text({24, y + 3}, row.text, 1.667, train::ink);
            continue;
        }
        const double end = frame.place(row.ratio, 0).x;
        drawing.text({430, y + 5}, row.text, textSize, train::ink, train::Align::Right);
        drawing.rectangle({std::min(one, end), y + 2}, {std::max(one, end), y + rowHeight - 2},
                          row.colour);
        drawing.text({frame.area.right + 16, y + 5}, format("%.2fx", row.ratio), textSize,
                     train::ink);
    }
    drawing.rectangle({one, frame.area.top}, {one + 1, frame.area.bottom}, train::ink);
    const train::LegendEntry entries[] = {
        {"fp32", colourOfFp32}, {"fp16", colourOfFp16}, {"geometric mean", train::ink}};
    double x = frame.area.left;
    for (const train::LegendEntry& entry : entries) {
        drawMark(drawing, entry.mark, {x + 12, frame.area.top - 8}, entry.colour);
        drawing.text({x + 32, frame.area.top - 13}, entry.name, textSize, train::ink);
        x += 110;
    }
}

} // namespace mpsvk::bench

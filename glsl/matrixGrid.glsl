// One invocation for four elements of a row.
#ifndef MPSVK_MATRIXGRID_GLSL
#define MPSVK_MATRIXGRID_GLSL

#include "grid.glsl"

struct MatrixPlace {
    uint matrix, row, column;
    bool exists;
};

MatrixPlace placeOfInvocation(uint rows, uint columns, uint matrices) {
    uint across = (columns + 3u) / 4u, index = gridIndex(), line = index / across;
    return MatrixPlace(line / rows, line % rows, index % across * 4u, line < rows * matrices);
}

#endif

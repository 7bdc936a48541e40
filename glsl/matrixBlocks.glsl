// Four by four elements an invocation, in workgroups of 8 x 8 of these blocks: along rows and along
// columns neighbours touch whole cache lines.
#ifndef MPSVK_MATRIXBLOCKS_GLSL
#define MPSVK_MATRIXBLOCKS_GLSL

layout(local_size_x = 64) in;

struct MatrixBlock {
    uint matrix, row, column;
    bool exists;
};

MatrixBlock blockOfInvocation(uint rows, uint columns, uint matrices) {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    uint across = (columns + 31u) / 32u, down = (rows + 31u) / 32u, i = gl_LocalInvocationIndex;
    MatrixBlock at;
    at.matrix = group / across / down;
    at.row = group / across % down * 32u + i / 8u * 4u;
    at.column = group % across * 32u + i % 8u * 4u;
    at.exists = at.matrix < matrices && at.row < rows && at.column < columns;
    return at;
}

#endif

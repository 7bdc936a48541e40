// A step of cooperative.glsl: the chunks in nextLeft and nextRight go to shared memory, later ones are loaded
// into both, and the products are added to `sums`.
[[unroll]] for (uint i = 0u; i < leftChunks; ++i)
    chunkStore(0u, leftSize, COOPERATIVE_PLACE(i, leftAlong, tileRows, leftAcrossPitch),
               LEFT_STORED(nextLeft[i]));
[[unroll]] for (uint i = 0u; i < rightChunks; ++i)
    chunkStore(rightBase, rightSize,
               COOPERATIVE_PLACE(i, rightAlong, tileColumns, rightAcrossPitch),
               nextRight[i]);
if (!advancesAmidProducts) advance();
barrier();
COOPERATIVE_LOADS(nextLeft, nextRight)
if (advancesAmidProducts) advance();
#ifdef MPSVK_BFLOAT16
// Matrices cut their sums off instead of rounding them. Six products for 16 of the interior are added up by
// themselves, small ones first, and rounded when they are added to the rest.
if (shares == 3u) {
    [[unroll]] for (uint e = 0u; e < ownDepth / 16u; ++e) {
        uint k = level * ownDepth + e * 16u;
        coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[blocksDown][3];
        [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
            [[unroll]] for (uint s = 0u; s < 3u; ++s) {
                LEFT_LOAD(a[i][s], s * leftSize, i, k)
            }
        }
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b[3];
            [[unroll]] for (uint s = 0u; s < 3u; ++s) {
                RIGHT_LOAD(b[s], s * rightSize, j, k)
            }
            Sums part[blocksDown];
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][2], b[0], Sums(0.0));
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][0], b[2], part[i]);
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][1], b[1], part[i]);
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][1], b[0], part[i]);
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][0], b[1], part[i]);
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) part[i] = coopMatMulAdd(a[i][0], b[0], part[i]);
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) sums[i][j] += part[i];
        }
    }
} else
#endif
// By shares of both operands: low * high, high * low, high * high. Left ones stay in registers.
[[unroll]] for (uint e = 0u; e < ownDepth / 16u * products; ++e) {
    uint k = level * ownDepth + e / products * 16u, product = e % products;
    uint left = product + 1u < shares ? leftSize : 0u;
    uint right = product == 1u ? rightSize : 0u;
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[blocksDown];
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        LEFT_LOAD(a[i], left, i, k)
    }
    [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
        coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
        RIGHT_LOAD(b, right, j, k)
        [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
            sums[i][j] = coopMatMulAdd(a[i], b, sums[i][j]);
    }
}
barrier();

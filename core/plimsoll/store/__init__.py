"""What nodes and operator have learned, kept in levels and shared: process, local file, Redis, snapshots.

Pure: `record`, `content`, `merging`, `contributions`, `robust`, `canary`, `kinds`, `search`, `advice`. The
modules of `levels` alone touch files and the network. `tiered.TieredStore` puts them together,
`memory.Memory` is the small API that the command line and other programs use.
"""

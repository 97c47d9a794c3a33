"""PackingRecord: how often a table was packed, how much was written, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PackingRecord:
    """What packing a table and passing over it took. Records of two tables add up.

    Attributes
    ----------
    packings : int
        Times that the table was read and packed: 1, one more if it had fewer partitions than cores, and one more after
        each miss. Rows that Spark itself read again, since an executor was lost, are not counted.
    misses : int
        Passes that were made in vain, since a task did not find its blocks.
    streamed : bool
        Whether blocks stream through Spark, which is slower: from the start if Spark encrypts its local disks, else
        after too many misses.
    passes : int
        Passes over the blocks, whatever for: samples, EM, evaluations.
    bytes_written : int
        Bytes of blocks, of all packings.
    read_by : {"spark", "parquet"}
        What read the rows, the last time: Spark, or the tasks themselves from Parquet files.
    reason : str
        Why Spark read them; empty if it did not.
    held : bool
        Whether the rows came to the driver when they were read, since there are few: passes then run there, unless they
        are long.
    """

    packings: int = 0
    misses: int = 0
    streamed: bool = False
    passes: int = 0
    bytes_written: int = 0
    read_by: str = ""
    reason: str = ""
    held: bool = False

    def __add__(self, other: PackingRecord) -> PackingRecord:
        return PackingRecord(
            packings=self.packings + other.packings,
            misses=self.misses + other.misses,
            streamed=self.streamed or other.streamed,
            passes=self.passes + other.passes,
            bytes_written=self.bytes_written + other.bytes_written,
            read_by=other.read_by or self.read_by,
            reason=other.reason if other.read_by else self.reason,
            held=other.held if other.read_by else self.held,
        )

// Package tail reads what the containers of a node write, from the files that the kubelet
// keeps (the CRI log format), and brings it to the server as rows of ContainerLogV2.
//
// Nouns. A Tailer follows a folder of pod logs. A sequence is one run of one container: its
// current file and the older ones, read in order as if they were one. A file is known by
// device, inode and the fingerprint of its first bytes, whatever its name. A line is what
// one write of the container became, stitched from its parts; an entry is one row, several
// lines where they are one stack trace. A mark is the place in a file up to which the lines
// of one output are done. A Parcel is an encoded batch on its way to a Sender.
//
// Invariants.
//   - A line that is in a file which the Tailer has opened reaches the server: a file stays
//     open until it is read to its end, also when it was renamed or deleted meanwhile. What
//     must be given up (see Limits.Held) is counted.
//   - A mark moves in the checkpoint only after the server has taken the rows before it.
//   - A parcel is on the disk, with its ID and the marks after it, before it is sent, and is
//     sent under the same ID until it is taken, also over a restart. With a server that
//     stores an ID once, a row is stored once.
//   - When the server does not take parcels nothing is read: memory stays below
//     Limits.Queue+2 parcels, the buffers of open lines and the read buffer.
//   - No container starves another: files take turns of Limits.Turn bytes.
//
// It imports the standard library, packages table and level, zstd and x/sys/unix; it is linked into
// towpath-agent.
package tail

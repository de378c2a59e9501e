// Package boottree is what machines boot from, as the store has it, and every change of it: machines' entries
// (boot.env, with overlay and commit), registered files (kernel, image layers and lists), commits that machines
// send, the import of what a boot medium brings, and the removal of what nobody needs any more.
//
// The store has small things whole: entries and blobs. Big files lie in each server's folder; the store has
// their sums. Package replica has a server's folder become what the store says.
package boottree

// Where things are in the store.
const (
	EntryPrefix  = "rack/entry/"  // <mac>: boot.env's text
	FilePrefix   = "rack/file/"   // <path>: "<sha256> <size>"
	HolderPrefix = "rack/holder/" // <server>: the digest of the files that it has

	blobPrefix     = "rack/blob/"     // <sha256>: an overlay or a commit
	inboxPrefix    = "rack/inbox/"    // <mac>: a commit that the machine has sent
	rejectedPrefix = "rack/rejected/" // <mac>: why its last commit was refused
)

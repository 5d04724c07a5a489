package tail

// watcher tells which folders have changed. Folders are named relative to the root, "" is
// the root itself.
type watcher interface {
	// add watches a folder for files and folders that come, go and change their names. A
	// folder that is watched already stays so.
	add(folder string) error
	// changed gives the folders that have changed; everything may have changed when it
	// gives overflow.
	changed() <-chan string
	close() error
}

// overflow stands for every folder.
const overflow = "*"

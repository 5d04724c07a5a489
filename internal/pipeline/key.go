package pipeline

import (
	"strings"
)

// File is the pipeline file of a repository that makes a pipeline by being there.
const File = "azure-pipelines.yml"

// Key names the pipeline of a file of a repository in rows, permissions and questions:
// "project/repo" when the file is File, "project/repo:path" otherwise. Unlike the name it
// never changes. No name of a repository has a colon.
func Key(repo, file string) string {
	if file == "" || file == File {
		return repo
	}
	return repo + ":" + file
}

// SplitKey is the repository and the file of a pipeline's key.
func SplitKey(key string) (repo, file string) {
	repo, file, ok := strings.Cut(key, ":")
	if !ok {
		file = File
	}
	return repo, file
}

// projectOf is the project of a repository or of a pipeline's key.
func projectOf(key string) string {
	project, _, _ := strings.Cut(key, "/")
	return project
}

// Key names the pipeline of the run.
func (r Run) Key() string { return Key(r.Repo, r.File) }

// key names the pipeline of the order.
func (o Order) key() string { return Key(o.Repo, o.File) }

// because is the cause of the run of an order, once for each pipeline that it starts.
func (o Order) because(cause string) string {
	if key := o.key(); key != o.Repo {
		return cause + ":" + key
	}
	return cause
}

// file is the path of the pipeline file.
func (o Order) file() string {
	_, file := SplitKey(o.key())
	return file
}

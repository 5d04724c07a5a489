package oci

// What the fuzz tests reach for.
var (
	Window       = window
	ContentRange = contentRange
	ParseScope   = parseScope
)

// SplitPath is split with the route reduced to whether there is one about a repository.
func SplitPath(path string) (repository bool, name, ref string) {
	to, name, ref := split(path)
	return to >= routeTags, name, ref
}

package foreign

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// nameOf is where the index of a layout has the full name of an image, as BuildKit writes it.
const nameOf = "io.containerd.image.name"

// path is the grammar of a repository's name (OCI distribution).
var path = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// Kept returns the digest of the image that a layout has under a full name, "" when it has
// none.
func Kept(dir, image string) (digest string, err error) {
	index, err := layout.ImageIndexFromPath(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the images of the job: %w", err)
	}
	all, err := index.IndexManifest()
	if err != nil {
		return "", fmt.Errorf("reading the images of the job: %w", err)
	}
	for _, m := range all.Manifests {
		if m.Annotations[nameOf] == image {
			digest = m.Digest.String()
		}
	}
	return digest, nil
}

// Name is the full name of an image in the registry of a host: that of a repository of Docker
// Hub without a user begins with library.
func Name(host, repository, tag string) (string, error) {
	if !path.MatchString(repository) {
		return "", fmt.Errorf("%.200q is no path of a repository", repository)
	}
	ref, err := name.NewTag(host+"/"+repository+":"+tag, name.WeakValidation)
	if err != nil {
		return "", err
	}
	if host == Hub {
		return Hub + "/" + ref.RepositoryStr() + ":" + ref.TagStr(), nil
	}
	return ref.Name(), nil
}

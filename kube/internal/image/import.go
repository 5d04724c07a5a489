package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// namespace is where containerd's Kubernetes plugin keeps its images.
const namespace = "k8s.io"

// Import brings an image archive (an OCI layout or a `docker save` file, as a tar stream) into the image store of the
// containerd that listens on socket, unpacks it for the given snapshotter, and returns the names of the images in it.
func Import(ctx context.Context, socket, snapshotter string, archive io.Reader) ([]string, error) {
	containerd, err := client.New(socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd at %s: %w", socket, err)
	}
	defer containerd.Close()
	ctx = namespaces.WithNamespace(ctx, namespace)
	images, err := containerd.Import(ctx, archive)
	if err != nil {
		return nil, fmt.Errorf("importing an image archive: %w", err)
	}
	var names []string
	for _, stored := range images {
		if err := client.NewImage(containerd, stored).Unpack(ctx, snapshotter); err != nil {
			return nil, fmt.Errorf("unpacking image %s: %w", stored.Name, err)
		}
		names = append(names, stored.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("importing an image archive: it names no image; save it with a name and tag")
	}
	return names, nil
}

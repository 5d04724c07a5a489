package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"towpath.dev/towpath/internal/policy/rule"
)

// Where Rego programs find what is known of images.
const (
	ImageVersion = "policy.towpath.dev/v1"
	ImageKind    = "ImageVerdict"
)

// imageObject makes the object that stands for an image: cluster wide, named by its
// digest, with its fields at the top.
func imageObject(i rule.Image) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("encoding what is known of image %s: %w", i.Digest, err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &u.Object); err != nil {
		return nil, fmt.Errorf("encoding what is known of image %s: %w", i.Digest, err)
	}
	// A program must be able to count them: null is nothing that count takes.
	for _, list := range []string{"repositories", "fixable"} {
		if u.Object[list] == nil {
			u.Object[list] = []any{}
		}
	}
	u.Object["apiVersion"], u.Object["kind"] = ImageVersion, ImageKind
	u.Object["metadata"] = map[string]any{"name": i.Digest}
	return u, nil
}

func (p *programs) putImage(ctx context.Context, i rule.Image) error {
	if i.Digest == "" {
		return fmt.Errorf("an image without a digest cannot be known")
	}
	u, err := imageObject(i)
	if err != nil {
		return err
	}
	if _, err := p.client.AddData(ctx, u); err != nil {
		return fmt.Errorf("telling the policy set of image %s: %w", i.Digest, err)
	}
	return nil
}

package provisioner_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/kube/internal/bootstrap"
	"towpath.dev/towpath/kube/internal/provisioner"
)

// TestReclaimTouchesOnlyItsOwn gives the provisioner volumes that it must leave alone. It has no API client: to ask the API
// about one of them would be a mistake too, and ends the test with a panic.
func TestReclaimTouchesOnlyItsOwn(t *testing.T) {
	base := t.TempDir()
	storage, outside := filepath.Join(base, "storage"), filepath.Join(base, "outside")
	for _, dir := range []string{storage, outside, filepath.Join(storage, "pvc-00000000-0000-0000-0000-000000000001")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, err := provisioner.New(nil, storage, "node", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const good = "pvc-00000000-0000-0000-0000-000000000001"
	for name, test := range map[string]struct {
		volume, by string
		phase      corev1.PersistentVolumePhase
		policy     corev1.PersistentVolumeReclaimPolicy
		refused    bool
	}{
		"of another provisioner": {good, "example.com/other", corev1.VolumeReleased, corev1.PersistentVolumeReclaimDelete, false},
		"that is bound":          {good, bootstrap.Provisioner, corev1.VolumeBound, corev1.PersistentVolumeReclaimDelete, false},
		"that is to be kept":     {good, bootstrap.Provisioner, corev1.VolumeReleased, corev1.PersistentVolumeReclaimRetain, false},
		"with a foreign name":    {"data", bootstrap.Provisioner, corev1.VolumeReleased, corev1.PersistentVolumeReclaimDelete, true},
		"that climbs":            {"../outside", bootstrap.Provisioner, corev1.VolumeReleased, corev1.PersistentVolumeReclaimDelete, true},
	} {
		volume := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: test.volume, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": test.by}},
			Spec:       corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: test.policy},
			Status:     corev1.PersistentVolumeStatus{Phase: test.phase},
		}
		if err := p.Reclaim(context.Background(), volume); (err != nil) != test.refused {
			t.Errorf("a volume %s: error %v, want one: %v", name, err, test.refused)
		}
	}
	for _, dir := range []string{outside, filepath.Join(storage, good)} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

// TestProvisionLeavesOtherClaimsAlone has no API client either.
func TestProvisionLeavesOtherClaimsAlone(t *testing.T) {
	p, err := provisioner.New(nil, t.TempDir(), "node", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	class := bootstrap.StorageClass
	wanted := map[string]string{"volume.kubernetes.io/storage-provisioner": bootstrap.Provisioner}
	for name, claim := range map[string]*corev1.PersistentVolumeClaim{
		"nobody asked for": {Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}},
		"has a volume":     {ObjectMeta: metav1.ObjectMeta{Annotations: wanted}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, VolumeName: "x"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}},
		"is bound":         {ObjectMeta: metav1.ObjectMeta{Annotations: wanted}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}},
	} {
		if err := p.Provision(context.Background(), claim); err != nil {
			t.Errorf("a claim that %s: %v", name, err)
		}
	}
}

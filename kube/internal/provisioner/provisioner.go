package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"towpath.dev/towpath/kube/internal/bootstrap"
)

const (
	// provisionedBy marks the volumes that this package made; Kubernetes' volume controller reads it too.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	// wantedFrom is how that controller asks for a volume.
	wantedFrom = "volume.kubernetes.io/storage-provisioner"
	hostLabel  = "kubernetes.io/hostname"
)

// volumeName is what this package calls its volumes. Only names of this form are ever used as folders.
var volumeName = regexp.MustCompile(`^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Provisioner makes and removes volumes.
type Provisioner struct {
	client kubernetes.Interface
	root   *os.Root
	node   string
	log    *slog.Logger
}

// New returns a Provisioner that makes folders in dir, which must exist, on the node of that name. Close it after use.
func New(client kubernetes.Interface, dir, node string, log *slog.Logger) (*Provisioner, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the storage folder: %w", err)
	}
	return &Provisioner{client: client, root: root, node: node, log: log}, nil
}

// Close releases the storage folder.
func (p *Provisioner) Close() error { return p.root.Close() }

// task is one object to look at again.
type task struct {
	claim           bool
	namespace, name string
}

// Run works until ctx ends.
func (p *Provisioner) Run(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[task](200*time.Millisecond, 30*time.Second))
	factory := informers.NewSharedInformerFactory(p.client, 10*time.Minute)
	for claim, informer := range map[bool]cache.SharedIndexInformer{
		true:  factory.Core().V1().PersistentVolumeClaims().Informer(),
		false: factory.Core().V1().PersistentVolumes().Informer(),
	} {
		add := func(object any) {
			if accessor, ok := object.(metav1.Object); ok {
				queue.Add(task{claim, accessor.GetNamespace(), accessor.GetName()})
			}
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, object any) { add(object) }}); err != nil {
			return fmt.Errorf("watching volumes: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	context.AfterFunc(ctx, queue.ShutDown)
	for {
		next, shutdown := queue.Get()
		if shutdown {
			return nil
		}
		if err := p.handle(ctx, next); err != nil {
			p.log.Warn("volume work failed, trying again", "claim", next.claim, "namespace", next.namespace, "name", next.name, "error", err)
			queue.AddRateLimited(next)
		} else {
			queue.Forget(next)
		}
		queue.Done(next)
	}
}

func (p *Provisioner) handle(ctx context.Context, t task) error {
	if t.claim {
		claim, err := p.client.CoreV1().PersistentVolumeClaims(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a claim: %w", err)
		}
		return p.Provision(ctx, claim)
	}
	volume, err := p.client.CoreV1().PersistentVolumes().Get(ctx, t.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a volume: %w", err)
	}
	return p.Reclaim(ctx, volume)
}

// Provision makes folder and volume for a claim that asks this provisioner for one; any other claim is left alone.
func (p *Provisioner) Provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Annotations[wantedFrom] != bootstrap.Provisioner || claim.Spec.VolumeName != "" || claim.Status.Phase != corev1.ClaimPending || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading storage class %s: %w", *claim.Spec.StorageClassName, err)
	}
	name := "pvc-" + string(claim.UID)
	if !volumeName.MatchString(name) {
		return fmt.Errorf("claim %s/%s has an id that is no UUID: %q", claim.Namespace, claim.Name, claim.UID)
	}
	// Containers run as any user, and only root can reach the storage folder from outside of them.
	if err := p.root.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the folder of volume %s: %w", name, err)
	}
	if err := p.root.Chmod(name, 0o777); err != nil {
		return fmt.Errorf("opening the folder of volume %s to its pods: %w", name, err)
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, p.volume(name, claim, class), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating volume %s: %w", name, err)
	}
	return nil
}

func (p *Provisioner) volume(name string, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: bootstrap.Provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: policy,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: filepath.Join(p.root.Name(), name)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: hostLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{p.node}}},
			}}}},
		},
	}
}

// Reclaim removes folder and volume when the claim is gone and the policy is Delete; any other volume is left alone.
func (p *Provisioner) Reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[provisionedBy] != bootstrap.Provisioner || volume.Status.Phase != corev1.VolumeReleased || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	if !volumeName.MatchString(volume.Name) {
		return fmt.Errorf("volume %s says that this provisioner made it, but is not called as it calls volumes", volume.Name)
	}
	if err := p.root.RemoveAll(volume.Name); err != nil {
		return fmt.Errorf("removing the folder of volume %s: %w", volume.Name, err)
	}
	uid := volume.UID
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting volume %s: %w", volume.Name, err)
	}
	return nil
}

// Package provisioner gives every PersistentVolumeClaim of the class "local" a folder on the node, and takes it away when the
// volume is released under the policy Delete.
//
// Invariants: a volume's folder is a direct child of the storage folder and is named by the volume; nothing outside of the
// storage folder is ever made or removed, whatever an object says; a volume whose object is kept keeps its folder.
//
// Must not import any other package of this module but bootstrap (the provisioner's name).
package provisioner

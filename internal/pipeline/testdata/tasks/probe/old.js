throw new Error('not the one that fits best');

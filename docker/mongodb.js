// The user of the services, made by the image at MongoDB's first start: both databases, and
// initiating the replica set.
db.getSiblingDB('admin').createUser({
  user: 'bakehouse',
  pwd: process.env.BAKEHOUSE_PASSWORD,
  roles: [
    { role: 'readWrite', db: 'source' },
    { role: 'readWrite', db: 'presentation' },
    { role: 'clusterManager', db: 'admin' },
  ],
});

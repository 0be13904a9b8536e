# srmri-tf on a machine without a GPU.
#   docker build -t srmri-tf .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/data srmri-tf enhance scan.nii.gz
FROM python:3.12-slim

COPY setup.cfg setup.py pyproject.toml README.md LICENSE /opt/srmri-tf/
COPY data_prep /opt/srmri-tf/data_prep
COPY srmri_tf /opt/srmri-tf/srmri_tf
RUN pip install --no-cache-dir "/opt/srmri-tf[dicom]" && rm -rf /opt/srmri-tf

# Whatever user it runs as has a home to write to.
ENV HOME=/tmp
RUN useradd --no-create-home srmri
USER srmri
WORKDIR /data
ENTRYPOINT ["srmri-tf"]
CMD ["--help"]

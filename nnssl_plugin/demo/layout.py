"""Where things are in the demo's folder."""

from dataclasses import dataclass

PHANTOMS = "phantoms"
RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
DATASET, UNLABELLED = "Dataset501_Phantom", "Dataset502_PhantomUnlabelled"
CONFIGURATION = "3d_fullres"
REPORT = "report.html"


@dataclass(frozen=True)
class Run:
    """A training. `title`: in tables. `evaluation`: name of the file of its test scores, without the ending."""

    title: str
    trainer: str
    plans: str
    evaluation: str = ""

    @property
    def results(self) -> str:
        """nnU-Net's folder of the model."""
        return f"{RESULTS}/{DATASET}/{self.trainer}__{self.plans}__{CONFIGURATION}"

    @property
    def fold(self) -> str:
        """Its fold 0."""
        return f"{self.results}/fold_0"

    @property
    def checkpoint(self) -> str:
        """Its final weights."""
        return f"{self.fold}/checkpoint_final.pth"

    @property
    def validation(self) -> str:
        """Its predictions, or what pre-training writes in their place."""
        return f"{self.fold}/validation"


PRETRAINING = Run("pre-training", "SSLPretrainTrainer", "Pretrain")
FINETUNING = Run("pre-trained", "SSLFinetuneTrainer", "Finetune", "pretrained")
SCRATCH = Run("from scratch", "SSLScratchTrainer", "Scratch", "scratch")
COMPARED = (FINETUNING, SCRATCH)
